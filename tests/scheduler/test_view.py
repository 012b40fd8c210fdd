"""What is shown of many stages at once, on a terminal and elsewhere."""

from concurrent.futures import Future
from time import monotonic

import pytest

from replications.durations import StageUsage
from replications.pipeline import PipelinePlan, Stage, upstream
from replications.scheduler import running, view
from replications.scheduler.running import Done
from replications.scheduler.view import View

USED = StageUsage(seconds=12.0, cpu_seconds=11.0, gigabytes=1.0)


@pytest.fixture
def board(tmp_path):
    """Three stages, of which the first has run for 30 seconds of 120 and has said how far it is."""
    made = [Stage(name, "true", [], [], [name]) for name in ("rome@x-en", "ioi@x-en", "report")]
    board = running.Board(PipelinePlan(made, upstream(made), {}), tmp_path, made[1:])
    log = board.log(made[0])
    log.parent.mkdir(parents=True)
    log.write_text("patching: 3 %\npatching: 40 %, 2 min left\n")
    board.running[Future()] = made[0]
    board.since["rome@x-en"] = monotonic() - 30
    return board


SECONDS = {"rome@x-en": 120.0, "ioi@x-en": 60.0, "report": 5.0}


def test_elsewhere_a_line_for_each_that_ends_and_one_a_minute_for_those_that_run(board, capsys, monkeypatch):
    shown = View(board, SECONDS, lambda: 100.0)
    shown.tick()
    assert capsys.readouterr().err == "", "not every second"
    monkeypatch.setattr(view, "EVERY", 0.0)
    shown.tick()
    assert capsys.readouterr().err == "running: rome@x-en (25 %); about 2 min to go\n"
    board.helpers[Future()] = next(iter(board.running.values()))
    shown.tick()
    assert "rome@x-en (25 %, helped)" in capsys.readouterr().err
    shown.ended(1, Done(board.waiting[0], USED, entry="{}"))
    shown.ended(2, Done(board.waiting[1], failure="the disk is full"))
    shown.ended(3, Done(board.waiting[1]))
    first, second, third = capsys.readouterr().err.splitlines()
    assert first == "[1/3] ioi@x-en: 12 s (0 s so far, about 2 min to go)"
    assert second == "[2/3] report FAILED: the disk is full"
    assert third == "[3/3] report: nothing has changed"


def test_a_terminal_shows_what_each_stage_says(board, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    shown = View(board, SECONDS, lambda: 100.0)
    shown.tick()
    said = capsys.readouterr().err
    assert "0 of 3 stages, about 2 min to go" in said
    assert "rome@x-en  patching: 40 %, 2 min left" in said
    board.running.clear()
    shown.tick()
    shown.close()
    assert "1 of 3 stages" in capsys.readouterr().err


def test_a_stage_that_takes_longer_than_it_should_is_not_done(board):
    board.since["rome@x-en"] -= 1000
    assert View(board, SECONDS, lambda: 100.0)._share("rome@x-en") == 99
