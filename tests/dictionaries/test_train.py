"""A training that is killed ends with the same bytes; checkpoints that are damaged, and budgets that do not do."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from dictionaries import tiny
from dictionaries.training import BLOCKS, SITES, plans, run

from replications.dictionaries.checkpoints import POINTER, Checkpoints
from replications.dictionaries.recipes import BankRecipe
from replications.dictionaries.train import BankPlan, check_budget, state
from replications.errors import Refusal


def assert_same_bytes(a, b):
    ours, theirs = state(a), state(b)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    for key, one in a.dictionaries().items():
        other = b.dictionaries()[key]
        assert torch.equal(one.W_enc, other.W_enc)
        assert one.info == other.info


def test_an_interrupted_run_ends_with_the_same_bytes(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=2)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=4)
    assert [file.name for file in tmp_path.glob("block-*")] == ["block-5.safetensors"]
    assert_same_bytes(run(tmp_path), run(None))


def test_a_killed_process_ends_with_the_same_bytes(tmp_path):
    code = "import sys; from pathlib import Path; from dictionaries.training import run; " + (
        "run(Path(sys.argv[1]), slow=1)"
    )
    paths = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parents[2])])
    here = {"PYTHONPATH": paths, "OMP_NUM_THREADS": str(torch.get_num_threads())}  # it computes as this process does
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=os.environ | here)
    deadline = time.monotonic() + 300
    while not (tmp_path / POINTER).is_file():
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert 0 < Checkpoints(tmp_path, "a").read()[0] < BLOCKS
    assert_same_bytes(run(tmp_path), run(None))


def test_every_block_leaves_a_loss_per_member():
    losses = run(None).losses
    assert [[len(block) for block in each] for each in losses] == [[2] * BLOCKS] * len(plans())
    assert all(block.isfinite().all() for each in losses for block in each)


def test_another_identity_starts_over(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=2)
    assert Checkpoints(tmp_path, "b").read() is None
    assert Checkpoints(tmp_path / "none", "a").read() is None


@pytest.mark.parametrize("damage", ["cut", "flip", "gone", "pointer", "field"])
def test_a_corrupt_checkpoint_is_refused(tmp_path, damage):
    kept = Checkpoints(tmp_path, "a")
    kept.write(3, {"x": torch.arange(4.0)})
    file, pointer = tmp_path / "block-3.safetensors", tmp_path / POINTER
    data = file.read_bytes()
    if damage == "cut":
        file.write_bytes(data[:-3])
    elif damage == "flip":
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "gone":
        file.unlink()
    else:
        pointer.write_text("{" if damage == "pointer" else "{}")
    with pytest.raises(Refusal, match=r"is not the checkpoint that was written: delete .* to start over$"):
        kept.read()


def test_a_checkpoint_is_whole_or_the_one_before(tmp_path):
    kept = Checkpoints(tmp_path, "a")
    kept.write(3, {"x": torch.zeros(2)})
    kept.write(5, {"x": torch.ones(2)})
    block, held = kept.read()
    assert (block, held["x"].tolist()) == (5, [1, 1])
    kept.clear()
    assert kept.read() is None


def test_a_dictionary_larger_than_the_budget_is_refused():
    widths = {site: site.width(tiny.model()) for site in SITES}
    check_budget(plans(), widths, 1)
    big = [BankPlan(SITES[0], BankRecipe("topk", 10**6, 1, (0,)))]
    with pytest.raises(Refusal, match=r"features on resid_pre.1 needs 1.04 GB, the budget is 1 GB: choose at most"):
        check_budget(big, widths, 1)
    fits = int(1e9 / 16 / 65)
    check_budget([BankPlan(SITES[0], BankRecipe("topk", fits, 1, (0,)))], widths, 1)
