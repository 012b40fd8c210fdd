"""How far a long step is: bars on a terminal, elsewhere a plain line every half minute. Always on stderr.

A step is counted where the work is done and shown from a thread of its own: counting is one addition, and whatever is
shown can neither change a number nor hold one up.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

EVERY = 30.0  # seconds between two lines where stderr is not a terminal
REFRESH = 0.2  # seconds between two pictures where it is one

Item = TypeVar("Item")


@dataclass(eq=False)
class Step:
    """One step under way: what it does, how much there is to do (None: nobody knows), how much is done."""

    doing: str
    total: float | None
    done: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def advance(self, amount: float = 1.0) -> None:
        """So much more is done."""
        self.done += amount

    def told(self) -> str:
        """Its share and the time left, or how long it has taken where its end is not known."""
        taken = time.monotonic() - self.began
        if not self.total:
            return f"{duration(taken)} so far"
        share = min(1.0, self.done / self.total)
        left = f", {duration(taken * (1 - share) / share)} left" if share else f", {duration(taken)} so far"
        return f"{100 * share:.0f} %{left}"


@contextmanager
def step(doing: str, total: float | None = None) -> Iterator[Step]:
    """Show `doing` for as long as the block runs; what is inside of it counts with `advance`."""
    one = Step(doing, total)
    _SCREEN.add(one)
    try:
        yield one
    finally:
        _SCREEN.remove(one)


def watched(items: Iterable[Item], doing: str, total: float | None = None) -> Iterator[Item]:
    """The items, one by one, each counted when the next is asked for; `total` is their number if it can be had."""
    known = len(items) if total is None and isinstance(items, Sized) else total
    with step(doing, known) as one:
        for item in items:
            yield item
            one.advance()


def close() -> None:
    """Take everything off the screen: something else is to be said."""
    _SCREEN.clear()


def duration(seconds: float) -> str:
    """As people say it: 40 s, 5 min, 2 h 10 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def line(steps: Sequence[Step]) -> str:
    """All steps under way, from the outermost in; the innermost one that knows its end says how far it is."""
    counted = next((one for one in reversed(steps) if one.total), steps[-1])
    return f"{', '.join(one.doing for one in steps)}: {counted.told()}"


class _Screen:
    """The steps under way, and the thread that shows them."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.lock = threading.RLock()
        self.wake = threading.Event()
        self.thread: threading.Thread | None = None
        self.bars: Progress | None = None
        self.said = time.monotonic()

    def add(self, one: Step) -> None:
        with self.lock:
            self.steps.append(one)
            if self.thread is None:
                self.said = time.monotonic()
                self.thread = threading.Thread(target=self._show, daemon=True, name="progress")
                self.thread.start()
            self.wake.set()

    def remove(self, one: Step) -> None:
        with self.lock:
            if one in self.steps:
                self.steps.remove(one)
            if not self.steps:
                self.clear()

    def clear(self) -> None:
        with self.lock:
            self.steps.clear()
            self.wake.clear()
            if self.bars is not None:
                self.bars.stop()
                self.bars = None

    def _show(self) -> None:
        while True:
            self.wake.wait()
            time.sleep(REFRESH)
            with self.lock, contextlib.suppress(OSError, ValueError):  # a stderr that is gone stops no run
                if not self.steps:
                    continue
                if sys.stderr.isatty():
                    self._draw()
                elif time.monotonic() - self.said >= EVERY:
                    self.said = time.monotonic()
                    print(line(self.steps), file=sys.stderr, flush=True)

    def _draw(self) -> None:
        self.bars = self.bars or bars()
        for task in self.bars.tasks:
            if task.fields["step"] not in self.steps:
                self.bars.remove_task(task.id)
        shown = {id(task.fields["step"]): task.id for task in self.bars.tasks}
        for one in self.steps:
            place = shown.get(id(one))
            if place is None:
                place = self.bars.add_task(one.doing, total=one.total, step=one)
            self.bars.update(place, completed=one.done)
        self.bars.refresh()


def bars() -> Progress:
    """Bars on stderr, started, that are gone when they are stopped."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(),
               TimeRemainingColumn(elapsed_when_finished=True), TimeElapsedColumn())  # fmt: skip
    made = Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False, redirect_stdout=False)
    made.start()
    return made


_SCREEN = _Screen()
