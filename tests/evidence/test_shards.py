"""A killed run resumes from its shards, a finished one leaves none, and nothing stale is ever taken."""

import subprocess
import sys
import threading

import pytest
import torch

from replications.errors import Refusal
from replications.evidence import shards

IDENTITY = {"room": "rome_tracing", "model": "tiny", "language": "en", "params": {"n": 3}}


@pytest.fixture
def counted():
    """A shard's maker that counts how often it is asked."""

    def make():
        make.calls += 1
        return {"effect": torch.full((2, 3), float(make.calls)).T, "total": torch.tensor(0.5)}

    make.calls = 0
    return make


def killed(cache, make, identity=IDENTITY):
    """A run that makes two shards and is stopped in the third."""

    def stop():
        raise KeyboardInterrupt

    shown = {"facts/0": make, "facts/1": make, "facts/2": stop}
    with pytest.raises(KeyboardInterrupt), shards.keep(identity, cache) as kept:
        assert not [kept(name, maker) for name, maker in shown.items()]


def resumed(cache, make, identity=IDENTITY):
    with shards.keep(identity, cache) as kept:
        return kept("facts/0", make)


def test_a_killed_run_goes_on_where_it_stopped(tmp_path, counted):
    killed(tmp_path, counted)
    found = resumed(tmp_path, counted)
    assert counted.calls == 2
    assert torch.equal(found["effect"], torch.ones(3, 2))
    assert found["total"].item() == 0.5


def test_a_finished_run_leaves_nothing_behind(tmp_path, counted):
    resumed(tmp_path, counted)
    resumed(tmp_path, counted)
    assert counted.calls == 2
    assert not list((tmp_path / "shards").rglob("*.safetensors"))


@pytest.mark.parametrize("change", [{"params": {"n": 4}}, {"stimuli": "other"}])
def test_another_run_takes_none_of_its_shards_and_clears_them(tmp_path, counted, change):
    killed(tmp_path, counted)
    killed(tmp_path, counted, IDENTITY | change)
    assert counted.calls == 4
    assert len(list((tmp_path / "shards").iterdir())) == 1


def test_another_model_leaves_them_alone(tmp_path, counted):
    killed(tmp_path, counted)
    killed(tmp_path, counted, IDENTITY | {"model": "tiny-2"})
    resumed(tmp_path, counted)
    assert counted.calls == 4


def test_changed_code_takes_none(tmp_path, counted, monkeypatch):
    killed(tmp_path, counted)
    monkeypatch.setattr(shards.imports, "digest", lambda module: "other")
    resumed(tmp_path, counted)
    assert counted.calls == 3


def test_a_damaged_shard_is_made_again(tmp_path, counted):
    killed(tmp_path, counted)
    for file in (tmp_path / "shards").rglob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-4])
    resumed(tmp_path, counted)
    assert counted.calls == 3


def test_another_process_of_the_same_run_waits_and_one_of_another_keeps_its_shards(tmp_path, counted):
    """A process holds its run; meanwhile a run of other params clears nothing of it."""
    code = f"""
import sys, torch
from pathlib import Path
from replications.evidence import shards
with shards.keep({IDENTITY!r}, Path(sys.argv[1])) as kept:
    kept("facts/0", lambda: {{"effect": torch.ones(3)}})
    print("held", flush=True)
    sys.stdin.readline()
    kept("facts/1", lambda: {{"effect": torch.ones(3)}})
"""
    line = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(line, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout.readline() == "held\n"
            resumed(tmp_path, counted, IDENTITY | {"params": {"n": 4}})
            assert len(list((tmp_path / "shards").rglob("*.safetensors"))) == 1
            ended = []
            waiting = threading.Thread(target=lambda: ended.append(resumed(tmp_path, counted)))
            waiting.start()
            waiting.join(0.3)
            assert not ended
        finally:
            other.stdin.write("\n")
            other.stdin.flush()
            assert other.wait(30) == 0
        waiting.join(30)
    assert ended
    assert counted.calls == 2


def test_a_cache_that_cannot_be_written_is_refused_by_its_name(tmp_path, counted):
    (tmp_path / "cache").write_bytes(b"")
    with (
        pytest.raises(Refusal, match=r"the cache .*/cache cannot be written \("),
        shards.keep(IDENTITY, tmp_path / "cache"),
    ):
        pass


def test_what_the_block_cannot_write_is_not_put_down_to_the_cache(tmp_path):
    with pytest.raises(FileExistsError), shards.keep(IDENTITY, tmp_path):
        (tmp_path / "locks").mkdir()
