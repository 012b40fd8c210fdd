"""The whole stage on a tiny model: evidence whose paths the claims ask for, shards, refusals."""

import json

import alone
import drawn
import pandas as pd
import pytest
from rome_tracing.conftest import tiny_loaded

from replications.claims.evidence import find, read_evidence
from replications.claims.ledger import load_claims
from replications.errors import Refusal
from replications.evidence.run import Asked
from replications.models import twins
from replications.rome_tracing import causal_tracing, stage, study

PARAMS = {"seed": 4, "n_asked": 20, "n_facts": 8, "n_pairs": 5, "n_control": 6, "n_samples": 2, "n_control_samples": 1,
          "n_layers": 3, "every_column": True, "resamples": 50}  # fmt: skip
FIGURES = ("aie", "severed", "corruptions")


def in_small(patch, folder, facts):
    """The stage with a tiny model in place of a catalogue's; the list of facts stands for both lists."""
    patch.setenv("REPLICATIONS_CACHE", str(folder / "cache"))
    patch.setattr(twins, "load_model", alone.loading(lambda seed: tiny_loaded("llama" if seed is None else "gpt2")))
    patch.setattr(study, "lists", lambda model, language: {"facts": facts, "paper": facts})
    return folder


@pytest.fixture
def world(monkeypatch, tmp_path, facts):
    return in_small(monkeypatch, tmp_path, facts)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, facts):
    """Folder of a run that nothing disturbed."""
    with pytest.MonkeyPatch.context() as patch:
        folder = in_small(patch, tmp_path_factory.mktemp("rome_tracing"), facts)
        measure(folder / "out")
        return folder / "out"


def measure(out, **changed):
    return stage.trace(Asked(stage.ROOM, "tiny", "en", "cpu", PARAMS | changed, out))


def test_the_evidence_is_whole(whole, tmp_path):
    evidence = read_evidence(whole / "metrics.json")
    assert evidence.measured.keys() == evidence.control.keys() == {"facts", "paper"}
    for claim in load_claims("rome_tracing"):
        assert find(evidence.measured, claim), f"{claim.id}: {claim.quantity}"
        if claim.general:
            assert find(evidence.measured, claim.general), f"{claim.id}, general: {claim.general.quantity}"
            assert find(evidence.control, claim.general), f"{claim.id}, control: {claim.general.quantity}"
    found = json.loads((whole / "metrics.json").read_text())["measured"]
    assert found["facts"] == found["paper"]  # one code for any list
    assert drawn.files(whole) == drawn.evidence("aie", "severed", "corruptions", "facts")
    assert drawn.draw("rome_tracing", whole, tmp_path) == drawn.pictures(*FIGURES)
    counts = json.loads((whole / "provenance.json").read_text())["lists"]["facts"]
    assert counts["known"] + counts["unknown"] == PARAMS["n_asked"]
    assert (counts["known"], counts["unknown"], counts["traced"], counts["dropped"]) == (19, 1, 8, {})


def test_facts_csv_is_what_editing_reads(whole):
    table = pd.read_csv(whole / "tables" / "facts.csv")
    assert list(table.columns) == ["fact", "kind", "layer", "effect", "total_effect", "list"]
    assert table.groupby(["list", "fact", "kind"]).size().eq(3).all()
    assert table["fact"].nunique() == 8


def test_a_killed_run_goes_on_and_writes_the_same(world, whole, monkeypatch):
    real, calls = causal_tracing.trace, []

    def killed(*args):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(causal_tracing, "trace", killed)
    with pytest.raises(KeyboardInterrupt):
        measure(world / "out")
    assert not (world / "out").exists()  # nothing half-written
    measure(world / "out")
    assert len(calls) == 5 + 2 * (8 + 6) - 4  # four facts were kept
    for name in ("metrics.json", "tables/facts.csv", "tables/aie.csv"):
        assert (world / "out" / name).read_bytes() == (whole / name).read_bytes()
    assert not list((world / "cache" / "shards").glob("*"))


def test_a_model_that_knows_too_little_is_refused(world, facts, monkeypatch):
    monkeypatch.setattr(study, "lists", lambda model, language: {"facts": facts[:5]})
    with pytest.raises(Refusal, match="tiny-llama, facts: the model completes 4 of 5 facts"):
        measure(world / "out")


def test_too_few_pairs_leave_the_comparison_out(world):
    tree = measure(world / "out", n_pairs=4, n_facts=5, n_control=5)
    assert "corruptions" not in tree["measured"]["facts"]
    assert drawn.files(world / "out") == drawn.evidence("aie", "severed", "facts")
    assert drawn.draw("rome_tracing", world / "out", world / "drawn") == drawn.pictures("aie", "severed")
