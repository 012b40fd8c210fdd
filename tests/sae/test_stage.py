"""From a tiny model to the evidence: every claim finds its quantity, both sets of weights are there."""

from types import SimpleNamespace

import alone
import drawn
import pandas as pd
import pytest
import torch
from dictionaries import tiny
from dictionaries.test_sae import make

from replications.claims.compare import judge
from replications.claims.evidence import find, paths, read_evidence, without_places
from replications.claims.ledger import load_claims
from replications.dictionaries import published
from replications.dictionaries import trained as module
from replications.dictionaries.published import Published
from replications.errors import Refusal
from replications.files import read_json
from replications.models import twins
from replications.sae import quantities, stage

TABLES = ("density", "scores", "training")


@pytest.fixture(scope="module")
def patched(tmp_path_factory):
    """The stage on the tiny model and its twin, with one published dictionary."""
    files = {"cfg.json": "0" * 64, "sae_weights.safetensors": "0" * 64}
    entry = Published(id="x", model="tiny", site="resid_pre.2", repo="a/b", revision="0" * 40, folder="f", files=files,
                      centred=True, licence={"name": "CC0"}, paper="a test")  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPLICATIONS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(module.load, "manifest", lambda entry: {"safetensors": "0" * 64})
        patch.setattr(stage, "room_params", lambda room, profile: tiny.PARAMS)
        patch.setattr(twins, "load_model", alone.loading(lambda seed: tiny.loaded(seed=seed or 0)))
        patch.setattr(published, "of_model", lambda model: [entry])
        patch.setattr(published, "fetch", lambda entry: make("standard", d=tiny.D, h=50))
        yield patch


@pytest.fixture(scope="module")
def written(patched, tmp_path_factory):
    """Folder and tree of a run."""
    out = tmp_path_factory.mktemp("out") / "sae" / "tiny" / "en"
    return out, stage.run(model="tiny", language="en", device="cpu", profile="default", out=out)


def test_everything_is_written_and_drawn(written, tmp_path):
    out, tree = written
    assert drawn.files(out) == drawn.evidence(*TABLES) | {"dictionaries.json"}
    assert drawn.draw("sae", out, tmp_path) == drawn.pictures("scores", "density", "training")
    assert read_json(out / "metrics.json").keys() == tree.keys() == {"measured", "control"}


def test_the_run_is_the_same_again(written, patched, tmp_path):
    out, _ = written
    stage.run(model="tiny", language="en", device="cpu", profile="default", out=tmp_path)
    for name in drawn.files(out):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes(), name


def test_every_claim_is_about_something_that_is_measured(written):
    _, tree = written
    known = {without_places(path) for path in paths(tree["measured"])}
    known |= {path.replace("place.", "paper.", 1) for path in known if path.startswith("place.")}
    for claim in load_claims("sae"):
        asked = [*claim.quantities, *(claim.general.quantities if claim.general else [])]
        assert {without_places(path) for path in asked} <= known, claim.id


def test_every_general_form_can_be_judged(written):
    out, _ = written
    evidence = read_evidence(out / "metrics.json")
    forms = {claim.id: claim.general for claim in load_claims("sae") if claim.general}
    assert forms
    for name, form in forms.items():
        assert judge(form, find(evidence.measured, form), whole_interval=True).outcome, name
        about_loss = any(word in form.quantity for word in ("loss", "recovered"))
        assert (find(evidence.control, form) is None) == about_loss, name


def test_the_manifest_of_the_evidence_is_that_of_the_cache(written):
    out, _ = written
    manifests = read_json(out / "dictionaries.json")
    folders = [module.store.cache_root() / "dictionaries" / one["folder"] for one in manifests.values()]
    for folder, one in zip(folders, manifests.values(), strict=True):
        assert module.is_whole(folder)
        assert read_json(folder / "manifest.json")["files"] == one["files"]


def test_the_tables_hold_the_numbers_of_the_tree(written):
    out, tree = written
    scores = pd.read_csv(out / "tables" / "scores.csv").set_index(["weights", "site", "kind", "metric"])["value"]
    at = tree["measured"]["resid_pre"]["topk"]
    assert scores["measured", "resid_pre", "topk", "fvu"] == pytest.approx(at["fvu"]["value"], rel=1e-4)
    assert scores["measured", "resid_pre", "topk", "mmcs.seeds"] == pytest.approx(
        at["mmcs"]["seeds"]["value"], rel=1e-4
    )
    assert ("control", "resid_pre", "topk", "loss") not in scores.index
    density = pd.read_csv(out / "tables" / "density.csv")
    some = density.query("weights == 'measured' and site == 'resid_pre' and kind == 'topk'")
    assert some["of"].iloc[0] == 2 * 2 * tiny.D
    assert some["features"].sum() == round(at["alive"]["value"] * some["of"].iloc[0])
    training = pd.read_csv(out / "tables" / "training.csv")
    assert training.groupby("weights")["block"].max().to_dict() == {"measured": 5, "control": 5}


def test_a_resampled_feature_is_dead_if_it_has_been_silent_since(written):
    _, tree = written
    windows = {kind: tree["measured"]["resid_pre"][kind]["dead"]["bricken_window"]["value"]
               for kind in ("standard", "topk")}  # fmt: skip
    assert windows == {"standard": 192, "topk": 384}  # the last resampling is half-way
    manifest = {"identity": {"params": {"tokens": 400, "batch": 16}}}
    trained = SimpleNamespace(manifest=manifest)
    assert quantities.watched(trained, "standard", 384) == 384 - 12 * 16  # 25 steps were planned, 24 filled blocks


def test_losses_lie_between_the_model_s_and_the_ablated(written):
    _, tree = written
    for site in ("resid_pre", "mlp_post"):
        for kind in ("standard", "pca", "random"):
            own = tree["measured"][site][kind]
            gap = own["loss"]["value"] - tree["measured"]["model"]["loss"]["value"]
            assert own["loss_increase"]["value"] == pytest.approx(gap, abs=1e-6)
            zero = tree["measured"][site]["ablated"]["zero"]["value"]
            share = (zero - own["loss"]["value"]) / (zero - tree["measured"]["model"]["loss"]["value"])
            assert own["recovered_zero"]["value"] == pytest.approx(share, rel=1e-4)


def test_a_published_dictionary_is_measured_by_the_same_code(written):
    _, tree = written
    found = tree["measured"]["paper"]["resid"]["L2"]
    assert {"l0", "fvu", "variance_explained", "recovered_zero", "recovered_mean", "alive"} <= found.keys()
    assert found["size"]["value"] == 50


def test_an_encoder_is_refused(patched):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(twins, "load_model", lambda model, device: tiny.loaded("minilm", kind="encoder"))
        with pytest.raises(Refusal, match="minilm: the loss recovered is asked of decoders"):
            stage.run(model="minilm", language="en", device="cpu", profile="default", out=None)


def test_weights_that_give_no_numbers_are_refused(patched, tmp_path):
    broken = tiny.loaded(seed=8)
    broken.hf_model.model.embed_tokens.weight.data[:] = torch.inf
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(twins, "load_model", lambda model, device: broken)
        with pytest.raises(Refusal, match="are not all finite"):
            stage.run(model="tiny", language="en", device="cpu", profile="default", out=tmp_path)
