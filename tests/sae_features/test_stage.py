"""From a tiny model to the evidence: every claim finds its quantity, both sets of weights are there."""

import re

import alone
import drawn
import pandas as pd
import pytest
import torch
from dictionaries import tiny

from replications.claims.compare import judge
from replications.claims.evidence import find, paths, read_evidence
from replications.claims.ledger import load_claims
from replications.dictionaries import trained as module
from replications.errors import Refusal
from replications.evidence.run import Run
from replications.files import read_json
from replications.models import twins
from replications.sae_features import figures, measure, sample, stage
from replications.sae_features.classes import CLASSES

OWN = {"seed": 1, "select_windows": 120, "test_windows": 100, "top": 5, "random_cards": 2, "resamples": 40}
LEARNED = tiny.PARAMS | {
    "shares": {"numbers": 0.3, "base64": 0.3, "udhr": 0.4}, "characters": 3000, "test_windows": 9,
}  # fmt: skip


@pytest.fixture(scope="module")
def patched(tmp_path_factory):
    """The stage on the tiny model and its twin, whose corpus is small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPLICATIONS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(module.load, "manifest", lambda entry: {"safetensors": "0" * 64})
        patch.setattr(module, "room_params", lambda room, profile: LEARNED)
        patch.setattr(module.corpus.datasets, "fetch", lambda name: texts(tmp_path_factory.mktemp(name)))
        patch.setattr(stage, "room_params", lambda room, profile: {"sae": LEARNED, "sae_features": OWN}[room])
        patch.setattr(twins, "load_model", alone.loading(lambda seed: tiny.loaded(seed=seed or 0)))
        yield patch


WORDS = {
    "heb": "כל בני האדם נולדו בני חורין ושווים בערכם. ",
    "arb": "يولد جميع الناس أحرارا متساوين في الكرامة. ",
    "rus": "Все люди рождаются свободными. ",
    "ell_monotonic": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι. ",
    "hin": "सभी मनुष्यों को गौरव प्राप्त है। ",
    "cmn_hans": "人人生而自由在尊严和权利上一律平等 ",
    "fra": "Tous les êtres humains naissent libres. ",
    "deu_1996": "Alle Menschen sind frei geboren. ",
    "eng": "All are born free in 1948. ",
}


def texts(folder):
    """A declaration of one sentence in a few languages, as files of the corpus."""
    found = {f"{name}.html": folder / f"{name}.html" for name in WORDS}
    for name, text in WORDS.items():
        found[f"{name}.html"].write_text(f"<html><body><p>{text * 60}</p></body></html>", encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def written(patched, tmp_path_factory):
    """Folder and tree of a run."""
    out = tmp_path_factory.mktemp("out") / "sae_features" / "tiny" / "en"
    return out, stage.run(model="tiny", language="en", device="cpu", profile="default", out=out)


@pytest.fixture(scope="module")
def pages(written, tmp_path_factory):
    """Folder of the cards that are drawn of the run."""
    folder = tmp_path_factory.mktemp("drawn")
    figures.draw(Run(written[0]), folder, "tiny, en")
    return folder / "cards"


def test_everything_is_written_and_drawn(written, tmp_path):
    out, tree = written
    assert drawn.files(out) == drawn.evidence("specificity", "splitting", "example") | {"tables/cards.json"}
    assert drawn.draw("sae_features", out, tmp_path) == drawn.pictures("specificity", "splitting") | {
        "cards/resid_pre.standard.html", "cards/resid_pre.topk.html", "cards/resid_pre.batch_topk.html",
        "cards/mlp_post.standard.html", "cards/index.html",
    }  # fmt: skip
    assert tree.keys() == {"measured", "control"}


def test_the_run_is_the_same_again(written, patched, tmp_path):
    out, _ = written
    stage.run(model="tiny", language="en", device="cpu", profile="default", out=tmp_path)
    for file in out.rglob("*.*"):
        assert (tmp_path / file.relative_to(out)).read_bytes() == file.read_bytes(), file.name


def test_every_claim_is_about_something_that_is_measured(written):
    _, tree = written
    known = set(paths(tree["measured"]))
    for claim in load_claims("sae_features"):
        general = claim.general.quantities if claim.general else []
        assert {without_form(path) for path in [*claim.quantities, *general]} <= known, claim.id


def without_form(path):
    """The tiny dictionaries of neurons are L1 alone."""
    return path.replace("mlp_post.batch_topk", "mlp_post.standard")


def test_every_general_form_can_be_judged(written):
    out, _ = written
    evidence = read_evidence(out / "metrics.json")
    forms = {claim.id: claim.general for claim in load_claims("sae_features") if claim.general}
    assert forms
    for name, form in forms.items():
        assert judge(form, find(evidence.measured, form), whole_interval=True).outcome, name


def test_the_control_has_the_quantities_of_its_own_dictionaries(written):
    _, tree = written
    lacking = {path.split(".")[1] for path in set(paths(tree["measured"])) - set(paths(tree["control"]))
               if path.count(".") >= 1 and "example" not in path}  # fmt: skip
    assert lacking <= {"batch_topk"}


def test_every_class_of_the_text_is_found(written):
    out, tree = written
    assert tree["measured"]["prevalence"].keys() == set(CLASSES) - {"code"}
    account = read_json(out / "provenance.json")
    assert account["contexts"] == ["arabic", "base64", "cjk", "cyrillic", "deu", "devanagari", "english", "fra",
                                   "greek", "hebrew", "numbers"]  # fmt: skip
    assert set(account["windows_with_class"]["measured_on"]) == set(CLASSES) - {"code"}


def test_scripts_are_easy_for_features_of_bytes(written):
    """The tiny model reads bytes, so that a script's first byte tells it."""
    _, tree = written
    found = tree["measured"]["resid_pre"]["topk"]["hebrew"]
    assert found["correlation"]["value"] > 0.3
    assert found["correlation"]["ci_low"] <= found["correlation"]["value"] <= found["correlation"]["ci_high"]


def test_the_tables_hold_the_numbers_of_the_tree(written):
    out, tree = written
    table = pd.read_csv(out / "tables" / "specificity.csv").set_index(
        ["weights", "site", "kind", "target", "class", "metric"]
    )
    for weights in ("measured", "control"):
        leaf = tree[weights]["mlp_post"]["neuron"]["hebrew"]["correlation"]
        assert table.loc[(weights, "mlp_post", "neuron", "proxy", "hebrew", "correlation"), "value"] == pytest.approx(
            leaf["value"], rel=1e-4
        )
    rows = pd.read_csv(out / "tables" / "splitting.csv")
    parts = tree["measured"]["mlp_post"]["standard"]["splitting"]
    assert (rows["kind"] == "standard").sum() == parts["neurons"]["value"] > 0
    assert rows.query("kind == 'standard' and example")["neuron"].tolist() == [parts["example"]["neuron"]["value"]]


def test_the_example_is_the_neuron_of_the_tree(written):
    out, tree = written
    table, parts = Run(out).tables["example"], tree["measured"]["mlp_post"]["standard"]["splitting"]["example"]
    units = table.drop_duplicates(["kind", "unit"])
    assert units["kind"].tolist() == ["neuron"] + ["feature"] * parts["features"]["n"]
    assert units["unit"].tolist() == [parts["neuron"]["value"], *parts["features"]["value"]]
    energies = table.groupby(["kind", "unit"], sort=False)["energy"].agg(["sum", "max"])
    assert energies["sum"].to_numpy() == pytest.approx(1, abs=1e-4)
    assert energies["max"].iloc[0] == pytest.approx(parts["neuron_selectivity"]["value"], rel=1e-4)


def test_cards_show_what_was_chosen(written, pages):
    _, tree = written
    page = (pages / "resid_pre.topk.html").read_text()
    unit = tree["measured"]["resid_pre"]["topk"]["hebrew"]["unit"]["value"]
    assert f'<article id="f{unit}">' in page
    assert "drawn at random" in page
    assert "\ufffd" not in page.partition("suppresses")[0].partition("<ol>")[2]
    assert len(page) < 300_000


def articles(pages):
    """(page, heading, html) of every card."""
    for page in sorted(pages.glob("*.*.html")):
        for card in re.findall(r"<article.*?</article>", page.read_text(), re.S):
            yield page.name, re.search("<h2>(.*?)</h2>", card)[1], card


def test_headings_say_what_was_measured(pages):
    """A feature is not called by a class: the heading has how well it matches, and contexts outside are marked."""
    of_classes = [(heading, card) for _, heading, card in articles(pages) if "best match for" in heading]
    assert of_classes
    for heading, card in of_classes:
        counts = [int(n) for n in re.findall(r"F1 [01]\.\d\d, (\d) of its \d top contexts in it", heading)]
        assert len(counts) == heading.count("best match for")
        listed, outside = card.count("<li"), card.count('<li class="out">')
        assert max(counts) <= listed - outside <= sum(counts)
        assert card.count(", not ") == outside
        assert card.count("<svg") == 1
    assert any('<li class="out">' in card for _, card in of_classes)


def test_f1_is_of_the_held_out_numbers(written, pages):
    _, tree = written
    found = tree["measured"]["resid_pre"]["topk"]["hebrew"]
    precision, recall = (found[metric]["value"] for metric in ("share_active", "recall"))
    (heading,) = [heading for page, heading, _ in articles(pages) if page == "resid_pre.topk.html"
                  and heading.startswith(f"Feature {found['unit']['value']}:")]  # fmt: skip
    assert f"hebrew (F1 {2 * precision * recall / (precision + recall):.2f}" in heading


def test_the_index_leads_to_every_card(pages):
    index = (pages / "index.html").read_text()
    links = re.findall(r'href="([^"#]+)#(f\d+)"', index)
    assert len(links) == sum(1 for _ in articles(pages))
    for name, anchor in links:
        assert f'<article id="{anchor}">' in (pages / name).read_text()


def test_an_encoder_is_refused(patched):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(twins, "load_model", lambda model, device: tiny.loaded("minilm", kind="encoder"))
        with pytest.raises(Refusal, match="minilm: feature cards show what a direction does"):
            stage.run(model="minilm", language="en", device="cpu", profile="default", out=None)


def test_weights_that_give_no_numbers_are_refused(patched, written):
    broken = tiny.loaded(seed=9)
    text = module.read_text(broken, LEARNED)
    taken = sample.take(broken, text, LEARNED["shares"], OWN)
    trained = module.trained(tiny.loaded(), profile="default", text=text)
    broken.hf_model.model.embed_tokens.weight.data[:] = torch.inf
    with pytest.raises(Refusal, match="are not all finite"):
        measure.at_sites(broken, trained, taken, OWN, 4)


def test_a_text_without_any_class_is_refused(patched):
    shares = {"numbers": 1.0}
    text = module.read_text(tiny.loaded(), LEARNED | {"shares": shares})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "MIN_WINDOWS", 10**6)
        with pytest.raises(Refusal, match=r"none of the classes hebrew, .* occurs in 1000000 windows"):
            sample.take(tiny.loaded(), text, shares, OWN)
