"""From a tiny model to the evidence: every claim finds its quantity, a killed run resumes, nothing is half-written."""

from pathlib import Path

import drawn
import pytest
import torch
from sharded import Kept

from replications.claims.evidence import paths, without_places
from replications.claims.ledger import load_claims
from replications.evidence import shards
from replications.evidence.run import write_run
from replications.files import read_json
from replications.ioi_faithfulness import adversarial, circuits, experiments, stage
from replications.ioi_faithfulness.circuits import POSITION, Circuit

FILES = ("adversarial", "completeness", "faithfulness", "minimality", "prompts", "random_circuits")


def measured(at, helpers, tested, kept):
    """What `stage.measure` returns, and as `adversarial` what `stage.control` does, on a tiny model."""
    arrays = {"model": experiments.of_model(at.setup, at.tiny.bridge, kept)}
    for name, circuit in tested.items():
        arrays[name] = dict(experiments.of_circuit(at.setup, circuit, helpers.PARAMS, kept, name, "cpu"))
    some = at.twins[: helpers.PARAMS["n_adversarial"]]
    answers = torch.tensor([(p.io_id, p.s_id) for p in some])
    more = {
        kind: adversarial.arrays(adversarial.behaviour(at.stack, [p.ids for p in some], answers, "cpu"))
        for kind in adversarial.KINDS
    }
    return {"prompts": at.prompts, "arrays": arrays, "adversarial": more}


def write(out, made, tested, helpers):
    """The evidence of what was measured; the tree."""
    draws = {"resamples": helpers.PARAMS["resamples"], "seed": helpers.PARAMS["seed"]}
    tree = stage.trees(made, made["adversarial"], tested, draws)
    return write_run(out, tree, stage.frames(tree, made, tested, helpers.PARAMS), {"versions": {}})


@pytest.fixture(scope="module")
def written(helpers, tmp_path_factory):
    """Folder and tree of a run that tests two circuits, as on gpt2."""
    out, at = tmp_path_factory.mktemp("out"), helpers.setting()
    smaller = {name: heads for name, heads in helpers.CLASSES.items() if name != "s_inhibition"}
    tested = {"found": Circuit(smaller), "paper": at.circuit}
    made = measured(at, helpers, tested, helpers.keep)
    return out, write(out, made, tested, helpers)


def test_everything_is_written_and_drawn(written, tmp_path):
    out, tree = written
    assert drawn.files(out) == drawn.evidence(*FILES)
    stems = ("faithfulness", "completeness", "minimality", "adversarial")
    assert drawn.draw("ioi_faithfulness", out, tmp_path) == drawn.pictures(*stems)
    assert read_json(out / "metrics.json").keys() == tree.keys() == {"measured", "control"}


def test_every_claim_is_about_something_that_is_measured(written):
    _, tree = written
    known = {without_places(path) for path in paths(tree["measured"])}
    # Models without a published circuit are asked by the general form; its paths are those of a found one.
    known |= {path.replace("paper.", "found.", 1) for path in known if path.startswith("paper.")}
    for claim in load_claims("ioi_faithfulness"):
        asked = [*claim.quantities, *(claim.general.quantities if claim.general else [])]
        assert {without_places(path) for path in asked} <= known, claim.id


def test_the_control_has_what_the_general_forms_of_kept_shares_ask(written):
    _, tree = written
    known = set(paths(tree["control"]))
    assert {"found.faithfulness.share", "found.faithfulness.relative_gap", "adversarial.extra_io.share"} <= known


def test_classes_and_their_claims_have_the_same_names():
    asked = [path for claim in load_claims("ioi_faithfulness") for path in claim.quantities]
    named = {path.split(".")[3] for path in asked if ".classes." in path}
    assert named <= set(POSITION)


def test_tables_hold_the_numbers_of_the_tree(written):
    import pandas as pd

    out, tree = written
    whole = pd.read_csv(out / "tables" / "completeness.csv").query("kind == 'none' and circuit == 'paper'").iloc[0]
    kept = tree["measured"]["paper"]["faithfulness"]
    assert whole["inside"] == pytest.approx(kept["circuit"]["value"], rel=1e-4)
    assert whole["model"] == pytest.approx(kept["model"]["value"], rel=1e-4)
    heads = pd.read_csv(out / "tables" / "minimality.csv").query("circuit == 'paper'")
    assert heads["score"].min() == pytest.approx(tree["measured"]["paper"]["minimality"]["smallest"]["value"], rel=1e-4)
    sets = pd.read_csv(out / "tables" / "completeness.csv").groupby(["circuit", "kind"]).size()
    assert sets["found"].to_dict() == {"none": 1, "class": 6, "random": 5, "greedy": 2}


def test_a_search_that_found_nothing_is_evidence_too(helpers, tmp_path):
    at = helpers.setting("gpt2")
    tested = {"found": Circuit({})}
    made = measured(at, helpers, tested, helpers.keep)
    tree = write(tmp_path, made, tested, helpers)["measured"]
    assert tree["found"]["size"]["heads"]["value"] == 0
    assert tree["found"]["random"]["beaten"]["value"] == 0
    assert "minimality" not in tree["found"]


def test_a_killed_run_resumes(helpers, tmp_path):
    at = helpers.setting()
    identity, tested = {"room": "ioi_faithfulness", "model": "tiny"}, {"found": at.circuit}

    calls = []

    def run(limit):
        with shards.keep(identity, tmp_path) as kept:

            def counted(name, make):
                def made():
                    if len(calls) == limit:
                        raise KeyboardInterrupt
                    calls.append(name)
                    return make()

                return kept(name, made)

            return measured(at, helpers, tested, Kept(counted))

    with pytest.raises(KeyboardInterrupt):
        run(8)
    again = run(99)
    assert len(calls) == len(set(calls))
    fresh = measured(at, helpers, tested, helpers.keep)
    for name, found in fresh["arrays"]["found"].items():
        for key, values in found.items():
            assert values == pytest.approx(again["arrays"]["found"][name][key], abs=1e-6), (name, key)


def test_a_model_that_the_engine_cannot_run_is_refused(helpers):
    from types import SimpleNamespace

    from replications.errors import Refusal

    at = helpers.setting()
    entry = SimpleNamespace(id="minilm", kind="encoder")
    with pytest.raises(Refusal, match="minilm: knock-outs need a decoder"):
        stage.to_test(SimpleNamespace(entry=entry, hf_model=at.tiny.hf_model), "en", Path("classes.csv"))


def test_a_missing_circuit_names_the_stage_to_run(helpers, tmp_path):
    from types import SimpleNamespace

    from replications.errors import Refusal

    at = helpers.setting()
    entry = SimpleNamespace(id="tiny", kind="decoder", n_layers=3, n_heads=4)
    loaded = SimpleNamespace(entry=entry, hf_model=at.tiny.hf_model)
    with pytest.raises(Refusal, match="run `replicate run ioi_circuit --model tiny --language fr` first"):
        stage.to_test(loaded, "fr", tmp_path / "classes.csv")
    file = tmp_path / "classes.csv"
    file.write_text("layer,head,class\n2,1,name_mover\n")
    tested = stage.to_test(loaded, "fr", file)
    assert tested == {"found": Circuit({"name_mover": ((2, 1),)})}
    loaded.entry = SimpleNamespace(**vars(entry) | {"id": "gpt2"})
    assert stage.to_test(loaded, "fr", file)["paper"] == circuits.published()
