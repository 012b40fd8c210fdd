"""`replicate repro` against `dvc repro`: the same stages, forced, one after the other in a clone of the last commit."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmarks.goals import SIDE_BY_SIDE
from benchmarks.turns import TWO_THREADS, Peer

from replications.settings import ROOT

STAGES = ["rome@smollm2-135m-en", "rome@gemma-3-270m-en", "ioi@smollm2-135m-en", "layer_probing@minilm-l6-en"]


def run(clone, *program):
    """Everything that the stages leave, by path, as SHA-256."""
    environment = os.environ | {"PYTHONPATH": str(clone), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run([*program, "--force", *STAGES], cwd=clone, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    files = [clone / "dvc.lock", *(path for path in sorted((clone / "reports").rglob("*")) if path.is_file())]
    kept = [path.relative_to(clone) for path in files if not path.is_relative_to(clone / "reports" / "local")]
    return {str(path): hashlib.sha256((clone / path).read_bytes()).hexdigest() for path in kept}


@pytest.mark.parametrize("clock", [TWO_THREADS], indirect=True)
def test_stages_side_by_side(compare, clock, tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)

    def serially(clock, _turn):
        begin = time.perf_counter()
        found = run(clone, sys.executable, "-m", "dvc", "repro", "--quiet")
        return found, time.perf_counter() - begin

    def difference(values, found):
        assert values == found, "dvc.lock and every file of the evidence should be the same to the byte"
        return 0.0

    note = f"wall time, weights at hand: {', '.join(STAGES)} and what they depend on, each on one thread"
    peers = {"dvc repro": Peer(serially, difference)}
    compare(SIDE_BY_SIDE, lambda: run(clone, "replicate", "repro"), peers, None, 1, note)
