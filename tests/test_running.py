"""How the tests run is tested as well: by small files of tests of their own."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
from running import pytest_xdist_auto_num_workers

TESTS = Path(__file__).parent
UNAVAILABLE = """
import pytest
from replications.errors import Unavailable

@pytest.fixture
def weights():
    raise Unavailable("no source of tiny answers: a network would do")

@pytest.mark.model
def test_setup(weights): ...

@pytest.mark.model
def test_call():
    raise Unavailable("no source of tiny answers: a network would do")

def test_without_a_model():
    raise Unavailable("no source of words answers")
"""
DRAWING = """
import pytest
import torch

@pytest.mark.parametrize("again", range(3))
def test_draws(again):
    assert torch.rand(1).item() == pytest.approx(0.4963, abs=1e-4)
"""


def outcome(tmp_path, text):
    """What pytest prints of a file of tests."""
    file = tmp_path / "test_made.py"
    file.write_text(text, encoding="utf-8")
    alone = ["--disable-plugin-autoload", "-p", "running", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *alone, "-rs", "--strict-markers", "-o", "markers=model: x"]
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [*command, "--rootdir", str(tmp_path), str(file)],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return run.stdout + run.stderr


def test_real_weights_that_cannot_be_had_are_a_reason_to_skip_and_nothing_else_is(tmp_path):
    found = outcome(tmp_path, UNAVAILABLE)
    assert "1 failed, 2 skipped" in found
    assert "no source of tiny answers: a network would do" in found


def test_global_draws_do_not_depend_on_the_tests_before(tmp_path):
    assert "3 passed" in outcome(tmp_path, DRAWING)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="would run where a process has cores of its own")
def test_workers_are_no_more_than_the_cores():
    assert 1 <= pytest_xdist_auto_num_workers() <= len(os.sched_getaffinity(0))


def test_what_is_collected_is_no_garbage_and_what_tests_leave_is():
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
