"""Several processes on one run: same bytes as alone, nothing made twice, nothing lost whoever is killed."""

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from replications.evidence import shards

SCRIPT = Path(__file__).with_name("sharing.py")
IDENTITY = {"room": "rome_tracing", "model": "tiny", "language": "en"}
ALL = {str(number): 1 for number in range(7)}
ALONE = b"".join((torch.arange(3) / (number + 7)).numpy().tobytes() for number in range(7))


@pytest.fixture
def start(tmp_path):
    """Starts a process of the run; those that still live are killed in the end."""
    started = []

    def started_as(*words):
        started.append(subprocess.Popen([sys.executable, str(SCRIPT), str(tmp_path / "cache"), *words]))
        return started[-1]

    yield started_as
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def log(tmp_path):
    """(what, which, who) of everything that was begun or made so far."""
    file = tmp_path / "log"
    file.touch()
    return lambda: [line.split() for line in file.read_text().splitlines()]


def until(true):
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def made(log, who=""):
    return Counter(number for what, number, by in log() if what == "made" and by.startswith(who))


def begun(log, who):
    return [number for what, number, by in log() if what == "begun" and by == who and number != "0"]


def left(tmp_path):
    """Shards and their locks."""
    cache = tmp_path / "cache"
    return [*(cache / "shards").iterdir(), *(cache / "locks").glob("*@*.*.lock")]


def test_two_processes_share_a_run(start, log, tmp_path):
    owner, helper = start("owner", "waits"), start("helper")
    assert (owner.wait(120), helper.wait(120)) == (0, 0)
    assert made(log) == ALL
    assert made(log, "helper")
    assert (tmp_path / "out").read_bytes() == ALONE
    assert left(tmp_path) == []


def test_what_a_killed_helper_was_at_is_taken_over(start, log, tmp_path):
    owner, helper = start("owner", "waits"), start("helper", "hangs")
    until(lambda: len(made(log)) == 6)
    assert owner.poll() is None  # it waits for the seventh
    helper.kill()
    assert owner.wait(120) == 0
    assert made(log, "owner") == ALL
    assert (tmp_path / "out").read_bytes() == ALONE


def test_a_helper_ends_with_a_killed_owner_and_the_next_owner_goes_on(start, log, tmp_path):
    owner, helper = start("owner", "hangs"), start("helper")
    until(lambda: len(made(log)) == 6)
    assert helper.poll() is None
    owner.kill()
    assert helper.wait(120) == 0
    assert not (tmp_path / "out").exists()
    assert start("owner").wait(120) == 0
    assert made(log) == ALL
    assert begun(log, "owner") in ([one, one] for one in ALL)  # what it hung at, and nothing that the helper had made
    assert (tmp_path / "out").read_bytes() == ALONE


def helped(cache, make):
    with shards.helping(), shards.keep(IDENTITY, cache) as kept:
        kept("base", make)
        kept.complete()
        raise AssertionError("a helper went on")


def fails():
    raise AssertionError("made by a helper that should have ended")


def test_a_helper_without_an_owner_ends_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "PATIENCE", 0.1)
    helped(tmp_path, fails)
    with shards.keep(IDENTITY, tmp_path) as kept:
        kept("base", dict)
    helped(tmp_path, fails)
    assert not list(tmp_path.glob("shards/*"))


def test_a_helper_under_way_ends_with_a_run_that_ends_well(tmp_path, monkeypatch):
    """It has seen the owner, and then misses a shard, because all are gone."""
    monkeypatch.setattr(shards, "_await_owner", lambda cache, folder: None)
    helped(tmp_path, fails)
    assert not list(tmp_path.glob("shards/*"))


def test_a_helper_reads_what_the_owner_made_and_does_not_go_on_to_the_evidence(tmp_path):
    with shards.keep(IDENTITY, tmp_path) as kept:
        kept("base", lambda: {"x": torch.ones(2)})
        helped(tmp_path, fails)
        assert torch.equal(kept("base", fails)["x"], torch.ones(2))


def test_results_come_in_the_order_of_their_names_however_they_are_gone_through(tmp_path):
    def backwards(take, names):
        return [take(name) for name in reversed(names)]

    makers = {str(n): lambda n=n: {"x": torch.tensor(n)} for n in range(4)}
    with shards.keep(IDENTITY, tmp_path) as kept:
        found = kept.each(makers, "numbers", backwards)
        assert [int(one["x"]) for one in found] == [0, 1, 2, 3]
        assert kept.under("a").each({}, "nothing") == []
