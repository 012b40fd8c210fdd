"""The loop: start what is due and fits, have what ended recorded, go on whatever fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Protocol

from replications.durations import StageUsage
from replications.errors import Refusal
from replications.pipeline import PipelinePlan, Stage
from replications.scheduler.schedule import Machine, is_due
from replications.scheduler.workers import ProcessEnd

LOGS = Path("reports/local/logs")
TAIL = 6  # last lines of its output that a failed stage shows
SETTLED = 20.0  # seconds that a stage has run before others help: what takes less is not worth it
TICK = 1.0  # seconds between two looks at what runs


class Pool(Protocol):
    """Where commands run: `workers.Here` or `cluster.Cluster`."""

    @property
    def machine(self) -> Machine: ...

    def start(self, stage: Stage, log: Path) -> Future[ProcessEnd]: ...

    def cancel(self, future: Future[ProcessEnd]) -> None: ...


@dataclass(frozen=True)
class Done:
    """A stage that was run, or why it was not: `failure` is empty when its outputs are made, or nothing had changed.

    `usage` is None of a stage that did not run to an end of its own; `entry` is what dvc.lock is to say of one made.
    """

    stage: Stage
    usage: StageUsage | None = None
    failure: str = ""
    entry: str | None = None

    @property
    def is_made(self) -> bool:
        return self.entry is not None


@dataclass
class Board:
    """The state of a run: stages that wait, in the order in which they should start, and since when others run.

    `helpers` make parts of a stage that runs, where nothing else could.
    """

    plan: PipelinePlan
    root: Path
    waiting: list[Stage]
    running: dict[Future[ProcessEnd], Stage] = field(default_factory=dict)
    helpers: dict[Future[ProcessEnd], Stage] = field(default_factory=dict)
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
        _help(board, pool)
        tick()
        ended, _ = wait(board.running, timeout=TICK, return_when=FIRST_COMPLETED)
        for future in ended:
            yield _ended(board, pool, future, entry)


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
            _make_room(board, pool, stage)
            board.since[stage.name] = monotonic()
            board.running[pool.start(stage, _emptied(board.log(stage)))] = stage


def _help(board: Board, pool: Pool) -> None:
    """Where a core is idle, have one more process make parts of the shared stage that began last."""
    for future in [future for future in board.helpers if future.done()]:
        del board.helpers[future]
    helped = [stage.name for stage in board.helpers.values()]
    for stage in reversed(board.running.values()):
        busy = [*board.running.values(), *board.helpers.values()]
        old = monotonic() - board.since[stage.name] > SETTLED
        if stage.is_shared and old and stage.name not in helped and pool.machine.has_room(stage, busy):
            helper = replace(stage, cmd=f"{stage.cmd} --join")
            log = board.log(stage)
            board.helpers[pool.start(helper, _emptied(log.with_name(f"{log.stem}.helper.log")))] = stage


def _make_room(board: Board, pool: Pool, stage: Stage) -> None:
    """End helpers until the stage fits: what they were at is made anew by the run that they helped."""
    while board.helpers and not pool.machine.has_room(stage, [*board.running.values(), *board.helpers.values()]):
        future, _ = board.helpers.popitem()
        pool.cancel(future)


def _emptied(log: Path) -> Path:
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("", encoding="utf-8")
    return log


def _ended(board: Board, pool: Pool, future: Future[ProcessEnd], entry: Callable[[str], str]) -> Done:
    stage = board.running.pop(future)
    for helper in [helper for helper, helped in board.helpers.items() if helped == stage]:
        del board.helpers[helper]
        pool.cancel(helper)
    failure, usage = _outcome(board, stage, future)
    if not failure:
        try:
            return Done(stage, usage, entry=entry(stage.name))
        except Refusal as refusal:
            failure = str(refusal)
    board.failed.add(stage.name)
    return Done(stage, usage, failure)


def _outcome(board: Board, stage: Stage, future: Future[ProcessEnd]) -> tuple[str, StageUsage | None]:
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
