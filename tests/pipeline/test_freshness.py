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


def test_metrics_and_plots_are_declared():
    metrics = json.loads(dvc("metrics", "show", "--json"))
    assert "error" not in metrics
    paths = metrics[""]["data"]
    assert any(path.startswith("reports/ioi/") for path in paths)
    assert any(path.startswith("reports/rome/") for path in paths)
    assert all("error" not in entry for entry in paths.values())
