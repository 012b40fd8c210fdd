"""dvc.lock is what `dvc repro` would have written, whatever happens meanwhile."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from scheduler import little

from replications.errors import Refusal
from replications.scheduler import Options, journal
from replications.scheduler.lock import KEPT, owned

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # of a library of DVC's
MOMENTS = 10


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The little pipeline as `dvc repro` leaves it."""
    return little.build(tmp_path_factory.mktemp("made"))


@pytest.fixture
def root(made, tmp_path) -> Path:
    """A copy of it, in which a stage that depends on `in` is stale."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


@pytest.fixture(scope="module")
def nursery():
    """A process that forks a scheduler for each folder it is told, see little.served."""
    tests = str(Path(little.__file__).parents[1])
    path = os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, "-c", "from scheduler.little import served; served()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path},
    ) as process:  # fmt: skip
        yield process
        process.stdin.close()


def scheduler(nursery: subprocess.Popen, root: Path) -> int:
    """The process of a scheduler that has been started."""
    nursery.stdin.write(f"{root}\n")
    nursery.stdin.flush()
    return int(nursery.stdout.readline())


def is_running(process: int) -> bool:
    """Whether it has not ended; the nursery takes note of the end of what it has forked at once."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_lock_from_nothing_is_that_of_dvc_to_the_byte(root):
    lock = (root / "dvc.lock").read_bytes()
    (root / "dvc.lock").unlink()
    assert not [one.failure for one in little.run(root, Options(jobs=2)) if one.failure]
    assert (root / "dvc.lock").read_bytes() == lock
    assert "up to date" in little.call(root, "dvc", "status")
    assert sorted(little.counted(root)) == sorted(little.CHAIN)


def test_only_what_is_stale_runs_and_what_it_changes(root):
    assert little.run(root, Options(jobs=2)) == []
    (root / "a").write_text("edited")
    done = little.run(root, Options(jobs=2))
    assert little.counted(root) == ["a"], "b finds what it found before"
    assert [one.stage.name for one in done if one.is_made] == ["a"]
    (root / "in").write_text("2")
    little.run(root, Options(jobs=2))
    assert sorted(little.counted(root)[1:]) == sorted(little.CHAIN)
    assert "up to date" in little.call(root, "dvc", "status")


def test_a_stage_without_its_output_is_not_recorded(root):
    lock = (root / "dvc.lock").read_bytes()
    (root / "work.py").write_text("")
    shutil.move(root / "h", root / "h.moved")
    failed = {one.stage.name: one.failure for one in little.run(root, Options(jobs=2)) if one.failure}
    assert set(failed) == {"h"}
    assert "DVC cannot record it" in failed["h"]
    assert (root / "dvc.lock").read_bytes() != lock
    assert "h" in little.call(root, "dvc", "status")


def test_only_one_process_has_dvc(root):
    with owned(root), pytest.raises(Refusal, match="is at work"), owned(root):
        pass


def test_a_lock_that_was_being_written_is_put_back(root):
    lock = (root / "dvc.lock").read_bytes()
    (root / KEPT).parent.mkdir(parents=True)
    (root / KEPT).write_bytes(lock)
    (root / "dvc.lock").write_bytes(lock[: len(lock) // 2])
    (root / ".dvc" / "tmp" / "rwlock").write_text('{"half')
    assert little.run(root, Options(jobs=2)) == []
    assert (root / "dvc.lock").read_bytes() == lock
    assert not (root / KEPT).exists()


def test_a_scheduler_that_is_killed_is_gone_on_with(nursery, root):
    """Killed at ten moments in a row: stages end with it, and what was made by then is not made again."""
    lock, status = (root / "dvc.lock").read_bytes(), little.call(root, "git", "status", "--porcelain")
    made: dict[str, int] = {}
    ends = []
    for moment in range(MOMENTS):
        known, process = len(little.counted(root)), scheduler(nursery, root)
        while len(little.counted(root)) == known and is_running(process):
            time.sleep(0.01)
        time.sleep(0.03 * moment)
        with contextlib.suppress(ProcessLookupError):  # all was made before
            os.kill(process, signal.SIGKILL)
        ends.append(int(nursery.stdout.readline()))
        time.sleep(0.1)  # so that stages have ended, too
        begun = Counter(little.counted(root))
        made = {name: made.get(name, begun[name]) for name in journal.begun(root).made}
    assert ends.count(-signal.SIGKILL) >= MOMENTS // 2, "a scheduler that has nothing left to do ends by itself"
    scheduler(nursery, root)
    assert int(nursery.stdout.readline()) == 0
    assert (root / "dvc.lock").read_bytes() == lock
    assert little.call(root, "git", "status", "--porcelain") == status
    assert not (root / journal.UNDER_WAY).exists()
    begun = Counter(little.counted(root))
    assert begun.keys() == little.CHAIN.keys()
    assert {name: begun[name] for name in made} == made


def test_what_a_killed_run_has_made_of_new_inputs_is_not_made_again(root):
    (root / "in").write_text("2")
    (root / "kill-f").write_text("half")
    (root / "kill-h").write_text("half")
    little.run(root, Options(jobs=2))
    lock = root / "dvc.lock"
    little.call(root, "git", "checkout", "dvc.lock")  # as if it had been killed before it wrote that
    assert {one.stage.name for one in little.run(root, Options(is_forced=True, jobs=2)) if one.is_made} == {"f", "h"}
    assert Counter(little.counted(root)) == Counter([*little.CHAIN, "f", "h"])
    assert "up to date" in little.call(root, "dvc", "status")
    kept = lock.read_bytes()
    little.call(root, "dvc", "repro", "--force", "-q")
    assert lock.read_bytes() == kept


def test_stages_that_are_killed_are_named_and_the_next_run_makes_them(root):
    """Twelve kills, at three moments of a stage, in four forced runs of which each goes on where the last one ended."""
    lock = (root / "dvc.lock").read_bytes()
    rounds = [
        {"a": "before", "c": "half", "e": "after", "h": "before"},
        {"a": "half", "c": "after", "e": "half", "h": "after"},
        {"b": "before", "d": "half", "g": "after"}, {"f": "after"},
    ]  # fmt: skip
    for kills in rounds:
        for name, moment in kills.items():
            (root / f"kill-{name}").write_text(moment)
        failed = {
            one.stage.name: one.failure for one in little.run(root, Options(is_forced=True, jobs=2)) if one.failure
        }
        assert {name for name, failure in failed.items() if "which failed" not in failure} == kills.keys()
        assert all("was killed by signal 9" in failed[name] for name in kills)
    assert [one.stage.name for one in little.run(root, Options(is_forced=True, jobs=2))] == ["f"]
    assert Counter(little.counted(root)) == {"a": 3, "c": 3, "e": 3, "h": 3, "b": 2, "d": 2, "g": 2, "f": 2}
    assert (root / "dvc.lock").read_bytes() == lock
    assert not (root / journal.UNDER_WAY).exists()
