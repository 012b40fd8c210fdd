"""The loop: start what is due and fits, have what ended recorded, go on whatever fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Protocol

from replications.errors import Refusal
from replications.pipeline import PipelinePlan, Stage
from replications.scheduler.journal import Usage
from replications.scheduler.schedule import Machine, is_due
from replications.scheduler.workers import Ended

LOGS = Path("reports/local/logs")
TAIL = 6  # last lines of its output that a failed stage shows
TICK = 1.0  # seconds between two looks at what runs


class Pool(Protocol):
    """Where commands run: `workers.Here` or `cluster.Cluster`."""

    @property
    def machine(self) -> Machine: ...

    def start(self, stage: Stage, log: Path) -> Future[Ended]: ...


@dataclass(frozen=True)
class Done:
    """A stage that was run, or why it was not: `failure` is empty when its outputs are made, or nothing had changed.

    `usage` is None of a stage that did not run to an end of its own; `entry` is what dvc.lock is to say of one made.
    """

    stage: Stage
    usage: Usage | None = None
    failure: str = ""
    entry: str | None = None

    @property
    def is_made(self) -> bool:
        return self.entry is not None


@dataclass
class Board:
    """The state of a run: stages that wait, in the order in which they should start, and since when others run."""

    plan: PipelinePlan
    root: Path
    waiting: list[Stage]
    running: dict[Future[Ended], Stage] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    @property
    def pending(self) -> list[Stage]:
        return [*self.waiting, *self.running.values()]

    def log(self, stage: Stage) -> Path:
        return self.root / LOGS / f"{stage.name}.log"

    def lost(self, stage: Stage) -> set[str]:
        """What it depends on and has failed."""
        return self.failed & set(self.plan.upstream[stage.name])


def run(
    board: Board, pool: Pool, is_stale: Callable[[str], bool], entry: Callable[[str], str],
    tick: Callable[[], None] = lambda: None,
) -> Iterator[Done]:  # fmt: skip
    """Run all that waits and yield each stage as it ends; one that fails stops only what depends on it.

    `is_stale` is asked when a stage's turn has come, `entry` for what dvc.lock is to say of it once it is made: both by
    this thread alone. What `entry` refuses has failed.
    """
    while board.pending:
        yield from _start(board, pool, is_stale)
        tick()
        ended, _ = wait(board.running, timeout=TICK, return_when=FIRST_COMPLETED)
        for future in ended:
            yield _ended(board, future, entry)


def _start(board: Board, pool: Pool, is_stale: Callable[[str], bool]) -> Iterator[Done]:
    for stage in list(board.waiting):
        if lost := board.lost(stage):
            board.waiting.remove(stage)
            board.failed.add(stage.name)
            yield Done(stage, failure=f"it needs {', '.join(sorted(lost))}, which failed")
        elif pool.machine.has_room(stage, board.running.values()) and is_due(stage, board.plan, board.pending):
            board.waiting.remove(stage)
            if not is_stale(stage.name):
                yield Done(stage)
                continue
            log = board.log(stage)
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text("", encoding="utf-8")
            board.since[stage.name] = monotonic()
            board.running[pool.start(stage, log)] = stage


def _ended(board: Board, future: Future[Ended], entry: Callable[[str], str]) -> Done:
    stage = board.running.pop(future)
    failure, usage = _outcome(board, stage, future)
    if not failure:
        try:
            return Done(stage, usage, entry=entry(stage.name))
        except Refusal as refusal:
            failure = str(refusal)
    board.failed.add(stage.name)
    return Done(stage, usage, failure)


def _outcome(board: Board, stage: Stage, future: Future[Ended]) -> tuple[str, Usage | None]:
    if error := future.exception():
        return f"it could not be run: {error}", None
    status, usage = future.result()
    if not status:
        return "", usage
    log = board.log(stage)
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    return "\n".join([*_tail(log, f"its command {how}"), f"(all of it: {log})"]), usage


def _tail(log: Path, otherwise: str) -> list[str]:
    """The end of what a command said."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-TAIL:] or [otherwise]
