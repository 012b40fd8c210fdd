"""Commands in processes of their own: what they say, how they end, what they took."""

import time

import pytest

from replications import durations
from replications.pipeline import Stage
from replications.scheduler import view, workers


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "LIBRARIES", "json")
    monkeypatch.setenv("TQDM_DISABLE", "1")  # and what else `Here` sets is put back
    for name in workers.arithmetic.THREADS:
        monkeypatch.setenv(name, "1")
    with workers.Here(tmp_path, jobs=2) as pool:
        yield pool


def start(here, command):
    log = here.root / "log"
    log.touch()
    return here.start(Stage("one", command, [], [], []), log), log


def test_what_a_command_says_and_takes_is_kept(here):
    future, log = start(here, "pwd; echo wrong >&2; exit 3")
    status, took = future.result()
    assert status == 3
    assert log.read_text() == f"{here.root}\nwrong\n"
    assert 0 <= took.seconds < 60
    assert took.gigabytes > 0.01


def test_the_projects_own_program_runs_in_the_process_itself(here):
    future, log = start(here, "replicate claims --room nosuch")
    status, _ = future.result()
    assert status == 2
    assert "nosuch" in log.read_text()


def test_what_is_cancelled_ends_at_once_with_all_that_it_started(here):
    future, log = start(here, "(sleep 2; echo still here) & echo begun; sleep 60")
    while not log.read_text():
        time.sleep(0.02)
    here.cancel(future)
    status, took = future.result(timeout=5)
    assert (status, took) == (-9, None)
    time.sleep(2.2)
    assert log.read_text() == "begun\n"


def test_leaving_ends_what_runs(here):
    future, log = start(here, "echo begun; sleep 60")
    while not log.read_text():
        time.sleep(0.02)
    began = time.monotonic()
    here.stop()
    assert future.result(timeout=5)[0] != 0
    assert time.monotonic() - began < workers.PATIENCE, "it heard Ctrl-C, and did not have to be killed"


def test_what_is_not_known_takes_as_long_as_its_like():
    stages = [Stage(name, "", [], [], []) for name in ("rome@a", "rome@b", "rome@c", "ioi@a")]
    known = {"rome@a": 10.0, "rome@b": 30.0, "audit": 1.0}
    assert durations.expected(stages, known) == {"rome@a": 10.0, "rome@b": 30.0, "rome@c": 20.0, "ioi@a": 10.0}
    assert set(durations.expected(stages, {}).values()) == {durations.UNKNOWN}


def test_a_file_of_durations_that_cannot_be_read_is_none(tmp_path):
    file = tmp_path / "durations.json"
    assert durations.durations(file).stages == {}
    file.write_text('{"half')
    assert durations.durations(file).calibration is None
    durations.keep_durations(tmp_path, 3.5, {"a": durations.StageUsage(seconds=1.0, cpu_seconds=1.0, gigabytes=0.5)})
    durations.keep_durations(tmp_path, None, {"b": durations.StageUsage(seconds=2.0, cpu_seconds=1.0, gigabytes=0.5)})
    kept = durations.durations(tmp_path / durations.MEASURED)
    assert kept.calibration == 3.5
    assert list(kept.stages) == ["a", "b"]


def test_the_last_line_of_a_log_is_cut(tmp_path):
    (tmp_path / "log").write_text("first\n" + "x" * 200 + "\n\n")
    assert view.last_line(tmp_path / "log") == "x" * (view.WIDTH - 1) + "…"
    assert view.last_line(tmp_path / "none") == ""
