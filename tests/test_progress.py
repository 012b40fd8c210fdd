"""Progress: what is shown of a long step, where, and how often."""

import io
import re
import sys
import time

import pytest

from replications import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def quick(monkeypatch):
    """Half a minute and a fifth of a second, shorter."""
    monkeypatch.setattr(progress, "EVERY", 0.05)
    monkeypatch.setattr(progress, "REFRESH", 0.01)


def wait(until):
    """Wait for what another thread does, as long as a busy machine may need."""
    end = time.monotonic() + 20
    while not until():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_items_come_through_in_order_and_are_counted():
    seen = []
    with progress.step("outer"):
        for item in progress.watched("abc", "letters"):
            seen.append((item, progress._SCREEN.steps[-1].done, progress._SCREEN.steps[-1].total))
    assert seen == [("a", 0, 3), ("b", 1, 3), ("c", 2, 3)]
    assert progress._SCREEN.steps == []


def test_a_file_gets_plain_lines_with_share_and_time_left(quick, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.step("trained weights"), progress.step("patching map", total=8) as step:
        step.advance(2)
        wait(lambda: "\n" in stream.getvalue())
    assert re.match(r"trained weights, patching map: 25 %, \d+ s left\n", stream.getvalue())


def test_a_step_without_an_end_says_how_long_it_has_taken(quick, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.step("loading"):
        wait(lambda: "\n" in stream.getvalue())
    assert re.match(r"loading: \d+ s so far\n", stream.getvalue())


def test_lines_are_half_a_minute_apart(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "REFRESH", 0.001)
    for _ in progress.watched(range(20), "short"):
        time.sleep(0.002)
    assert stream.getvalue() == ""
    assert progress.EVERY == 30


def test_a_terminal_gets_bars_that_go_away(quick, monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.step("maps [/]", total=4) as step:
        step.advance()
        wait(lambda: "25%" in stream.getvalue())
    assert "maps [/]" in stream.getvalue()
    assert progress._SCREEN.bars is None


def test_a_stderr_that_is_gone_stops_nothing(quick, monkeypatch):
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.step("unseen"):
        time.sleep(0.1)
    assert progress._SCREEN.thread.is_alive()


@pytest.mark.parametrize(("seconds", "said"), [(4, "4 s"), (99, "99 s"), (300, "5 min"), (7800, "2 h 10 min")])
def test_durations_are_as_people_say_them(seconds, said):
    assert progress.duration(seconds) == said


def test_counting_costs_nothing_to_speak_of():
    with progress.step("many", total=10**5) as step:
        began = time.perf_counter()
        for _ in range(10**5):
            step.advance()
        assert time.perf_counter() - began < 2
