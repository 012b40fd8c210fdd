"""Committed evidence is what the committed code, data and params make: DVC's lock says so, and so does a fresh run."""

import json
import subprocess
import sys

from replications.settings import ROOT


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


def test_metrics_are_the_headlines_alone():
    """A file that a person can read: `dvc metrics` of every quantity of every run took minutes and 72 MB."""
    shown = json.loads(dvc("metrics", "show", "--json"))[""]["data"]
    assert list(shown) == ["reports/headlines.json"]
    assert {"ioi", "rome"} <= set(shown["reports/headlines.json"]["data"])
