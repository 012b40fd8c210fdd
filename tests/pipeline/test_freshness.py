"""Committed evidence is what the committed code, data and params make: DVC's lock says so, and so does a fresh run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from replications.claims.ledger import rooms
from replications.pipeline import stages
from replications.settings import ROOT

METRICS = [Path(out) for stage in stages() for out in stage.outs if Path(out).name == "metrics.json"]


def dvc(*arguments, cwd=ROOT):
    command = [sys.executable, "-m", "dvc", *arguments]
    run = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"dvc {' '.join(arguments)} failed:\n{run.stderr}"
    return run.stdout


def test_evidence_is_fresh():
    """Fails when code, data, params or the evidence itself changed after the evidence was made."""
    stale = json.loads(dvc("status", "--json"))
    told = "\n".join(f"{stage}: {json.dumps(changes)}" for stage, changes in stale.items())
    assert not stale, f"evidence is not what these inputs make; run `make repro` and commit what changed:\n{told}"


@pytest.mark.parametrize("file", METRICS, ids=lambda file: "/".join(file.parts[1:-1]))
def test_metrics_are_numbers_that_any_reader_of_json_understands(file):
    """What `dvc metrics show` has to read, which takes it minutes."""

    def refuse(constant):
        raise ValueError(f"{constant} is not JSON")

    tree = json.loads((ROOT / file).read_text(encoding="utf-8"), parse_constant=refuse)
    assert tree["measured"], f"{file} has nothing measured"
    assert any(isinstance(value, int | float) for value in values(tree["measured"]))


def values(tree):
    """All leaves of a tree of mappings and lists."""
    if isinstance(tree, dict | list):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from values(part)
    else:
        yield tree


def test_every_room_declares_metrics():
    rooms_with_metrics = {file.parts[1] for file in METRICS}
    assert rooms_with_metrics == set(rooms())
