"""A run that is joined: the stage helps, writes nothing, and finds its upstream where the owner does."""

import sys
import types
from pathlib import Path

import pytest
from typer.testing import CliRunner

from replications import cli, pipeline, places, trial
from replications.errors import Refusal
from replications.settings import ROOT, load_settings

ROOMS = sorted(load_settings().rooms)
SHARED = [room for room in ROOMS if (ROOT / "replications" / room / "stage.py").is_file() and trial.has_shards(room)]
LINE = ["run", "rome_tracing", "--model", "smollm2-135m", "--join", "--out"]


def test_rooms_with_shards_are_those_whose_stage_depends_on_all_of_evidence():
    """So that whoever reads dvc.yaml knows which runs can be joined."""
    named = {stage.block for stage in pipeline.stages() if "replications/evidence" in stage.deps}
    assert set(SHARED) == named
    assert {"rome_tracing", "ioi_circuit", "toy_sae"} <= named
    assert "audit" not in named


@pytest.mark.parametrize("room", SHARED)
def test_every_room_with_shards_lets_helpers_end_before_it_evaluates(room):
    assert "kept.complete()" in (ROOT / "replications" / room / "stage.py").read_text()


def test_a_joined_run_stops_where_only_the_owner_goes_on(tmp_path, monkeypatch):
    from replications.evidence import shards

    seen = []

    def run(*, out, **given):
        seen.append((given["model"], given["language"], places.root_of(out)))
        shards.Keep(tmp_path, tmp_path, helps=shards._HELPS.get()).complete()
        raise AssertionError("went on to the evidence")

    stage = types.ModuleType("replications.rome_tracing.stage")
    stage.run = run
    monkeypatch.setitem(sys.modules, stage.__name__, stage)
    result = CliRunner().invoke(cli.app, [*LINE, str(tmp_path / "out")], catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (0, "")
    assert seen == [("smollm2-135m", "en", tmp_path / "out")]
    assert not list(tmp_path.iterdir())


def test_a_room_without_shards_cannot_be_joined():
    asked = trial.TrialRun("audit", "printed", "en")
    with pytest.raises(Refusal, match="room audit cannot be joined: its run should be one of parts that are kept"):
        trial.join(asked, Path("out"), ROOT)
