"""All stages in one view: bars on a terminal, elsewhere a line for each that ends, and one a minute for the others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from replications.progress import bars, duration
from replications.scheduler.running import Board, Done

EVERY = 60.0  # seconds between two lines where stderr is no terminal
ESTIMATED = 10.0  # seconds for which an estimate of what is left holds: to play the schedule through takes a while
WIDTH = 60  # characters of what a stage said last


class View:
    """What is shown of a run of many stages; `seconds` is how long each should take, `finish()` all that is left."""

    def __init__(self, board: Board, seconds: Mapping[str, float], finish: Callable[[], float]) -> None:
        self.board, self.seconds, self.finish = board, seconds, finish
        self.left, self.estimated = 0.0, float("-inf")
        self.total, self.began, self.told = len(board.pending), monotonic(), monotonic()
        self.bars: Any = bars() if sys.stderr.isatty() else None
        self.rows: dict[str, Any] = {}

    def ended(self, number: int, done: Done) -> None:
        """Say what became of a stage, and when the rest should be done."""
        self._estimate()
        where = f"[{number}/{self.total}] {done.stage.name}"
        if done.failure:
            self._say(f"{where} FAILED: {done.failure}")
        elif done.usage is None:
            self._say(f"{where}: nothing has changed")
        else:
            so_far = duration(monotonic() - self.began)
            self._say(f"{where}: {duration(done.usage.seconds)} ({so_far} so far, about {duration(self.left)} to go)")

    def tick(self) -> None:
        """Show what runs now."""
        if self.bars is not None:
            if monotonic() - self.estimated >= ESTIMATED:
                self._estimate()
            self._draw()
        elif monotonic() - self.told >= EVERY and self.board.running:
            self.told = monotonic()
            self._estimate()
            helped = {stage.name for stage in self.board.helpers.values()}
            lines = [f"{name} ({self._share(name):.0f} %{', helped' * (name in helped)})" for name in self.running]
            self._say(f"running: {', '.join(lines)}; about {duration(self.left)} to go")

    def close(self) -> None:
        """Take the bars off the screen."""
        if self.bars is not None:
            self.bars.stop()

    @property
    def running(self) -> list[str]:
        return [stage.name for stage in self.board.running.values()]

    def _estimate(self) -> None:
        self.left, self.estimated = self.finish(), monotonic()

    def _say(self, text: str) -> None:
        if self.bars is not None:
            self.bars.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def _share(self, name: str) -> float:
        """Percent of the time that it should take; a stage that takes longer stays at 99."""
        return min(99.0, 100 * (monotonic() - self.board.since[name]) / max(self.seconds[name], 1.0))

    def _draw(self) -> None:
        shown = {
            "": f"{self.total - len(self.board.pending)} of {self.total} stages, about {duration(self.left)} to go"
        }
        shown |= {
            stage.name: f"{stage.name}  {last_line(self.board.log(stage))}" for stage in self.board.running.values()
        }
        for name in self.rows.keys() - shown.keys():
            self.bars.remove_task(self.rows.pop(name))
        for name, text in shown.items():
            if name not in self.rows:
                self.rows[name] = self.bars.add_task(text, total=100.0)
            done = self._share(name) if name else 100 * (1 - len(self.board.pending) / max(self.total, 1))
            self.bars.update(self.rows[name], description=text, completed=done)
        self.bars.refresh()


def last_line(log: Path) -> str:
    """What a stage said last, cut to one line."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            said = file.read().decode("utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    line = next((one.strip() for one in reversed(said) if one.strip()), "")
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"
