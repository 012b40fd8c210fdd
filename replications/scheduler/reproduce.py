"""`replicate repro`: a plan run to its end, and what is said about it before, meanwhile and afterwards."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from rich.console import Console

from replications import arithmetic, durations
from replications.edge import Stopped
from replications.pipeline import PipelinePlan
from replications.progress import duration
from replications.scheduler import journal, schedule
from replications.scheduler.cluster import Cluster
from replications.scheduler.journal import Journal
from replications.scheduler.lock import StageLock, owned
from replications.scheduler.running import LOGS, Board, Done, run
from replications.scheduler.schedule import Machine
from replications.scheduler.view import View
from replications.scheduler.workers import Here

LONG = 600.0  # seconds of work that are worth a calibration


@dataclass(frozen=True)
class Options:
    """How to run: `is_forced` runs what has not changed, too; `jobs` stages at a time, as many as cores if None.

    `ray` is the address of a cluster that stages run on, instead of this machine.
    """

    is_forced: bool = False
    jobs: int | None = None
    ray: str | None = None


def reproduce(plan: PipelinePlan, root: Path, options: Options) -> int:
    """Run what is stale of the plan, and say at the end what was made and how far it is from what was.

    Returns the exit code: 1 when a stage failed, a verdict changed or a value left its numerical tolerance.
    """
    with owned(root) as lock:
        done = make(plan, root, options, lock)
    failed = [one for one in done if one.failure]
    made = [one for one in done if one.is_made]
    same = len(plan.stages) - len(made) - len(failed)
    counts = f"{len(made)} stages made, {same} unchanged, {len(failed)} failed, {len(plan.left_out)} left out."
    print(counts, file=sys.stderr)
    return max(_compare(plan, root), int(bool(failed)))


def make(plan: PipelinePlan, root: Path, options: Options, lock: StageLock) -> list[Done]:
    """Run what is stale of the plan, in dvc.lock too; what became of each stage, in the order in which they ended."""
    began = journal.begun(root)
    lock.take_up(began.made)
    stale = lock.stale(stage.name for stage in plan.stages)
    asked = _asked(plan, stale, began, options.is_forced)
    with _pool(root, options) as pool:
        seconds = _seconds(plan, asked, root, pool)
        board = Board(plan, root, [stage for stage in schedule.by_urgency(plan, seconds) if stage.name in asked])
        _announce(board, began, pool.machine, seconds)
        journal.note(root, began)
        try:
            done = _watched(board, pool, lock, began, seconds, options.is_forced)
        except KeyboardInterrupt:
            pool.stop()
            lock.write(began.made)
            kept = f"{len(began.made)} stages are made and recorded, finished parts of others kept"
            raise Stopped(f"stopped: {kept}; the same command goes on from there") from None
    lock.write(began.made)
    if not any(one.failure for one in done):
        journal.ended(root)
    return done


def _pool(root: Path, options: Options) -> Here | Cluster:
    return Cluster(root, options.ray) if options.ray else Here(root, options.jobs)


def _asked(plan: PipelinePlan, stale: set[str], began: Journal, is_forced: bool) -> set[str]:
    """What may have to run: what is stale or, if forced, was not made since the run began, and all that follows it."""
    asked: set[str] = set()
    for stage in plan.stages:  # what a stage depends on comes before it
        wanted = stage.name in stale or (is_forced and stage.name not in began.made)
        if wanted or asked.intersection(plan.upstream[stage.name]) or (stage.phase and asked):
            asked.add(stage.name)
    return asked


def _seconds(plan: PipelinePlan, asked: set[str], root: Path, pool: Here | Cluster) -> dict[str, float]:
    """How long stages should take: as they took here, or as on the machine that was recorded, scaled by a calibration.

    The calibration takes ten seconds, once on a machine. What is over soon, or runs on a cluster, goes without.
    """
    own, other = durations.durations(root / durations.MEASURED), durations.durations(root / durations.RECORDED)
    there, here = ({name: used.seconds for name, used in known.stages.items()} for known in (other, own))
    unscaled = durations.expected(plan.stages, there | here)
    unknown = sum(unscaled[name] for name in asked & there.keys() - here.keys())
    if other.calibration is None or unknown < LONG or not isinstance(pool, Here):
        return unscaled
    calibration = own.calibration or pool.calibrate()
    durations.keep_durations(root, calibration, {})
    scaled = {name: seconds * calibration / other.calibration for name, seconds in there.items()}
    return durations.expected(plan.stages, scaled | here)


def _announce(board: Board, began: Journal, here: Machine, seconds: dict[str, float]) -> None:
    if began.made:
        print(f"Going on after {len(began.made)} stages that a run which did not end has made "
              f"(delete {board.root / journal.UNDER_WAY} to begin from scratch).", file=sys.stderr)  # fmt: skip
    takes = duration(schedule.finish(board.waiting, {}, board.plan, seconds, here))
    print(f"{len(board.waiting)} stages, {here.cores} at a time as far as {here.gigabytes:.0f} GB of memory go: about "
          f"{takes}. What they say goes to {board.root / LOGS}", file=sys.stderr)  # fmt: skip


def _watched(
    board: Board, pool: Here | Cluster, lock: StageLock, began: Journal, seconds: dict[str, float], is_forced: bool
) -> list[Done]:
    """Run what is on the board; each stage that is made is noted, so that the next run need not make it again."""
    done: list[Done] = []

    def finish() -> float:
        now = monotonic()
        rest = {stage.name: seconds[stage.name] - (now - board.since[stage.name]) for stage in board.running.values()}
        return schedule.finish(board.waiting, rest, board.plan, seconds, pool.machine)

    def is_stale(name: str) -> bool:
        return is_forced or bool(lock.stale([name]))

    view = View(board, seconds, finish)
    try:
        for one in run(board, pool, is_stale, lock.entry, view.tick):
            done.append(one)
            if one.entry is not None:
                began.made[one.stage.name] = one.entry
                journal.note(board.root, began)
            if one.is_made and one.usage is not None:
                durations.keep_durations(board.root, None, {one.stage.name: one.usage})
            view.ended(len(done), one)
    finally:
        view.close()
    return done


def _compare(plan: PipelinePlan, root: Path) -> int:
    """Print how far the evidence of the plan's rooms is from the last commit's; 1 when it does not reproduce that."""
    import pandas as pd

    from replications.claims.ledger import all_claims, verdicts
    from replications.report import agreement

    claims = all_claims(root)
    rooms = [room for room in claims if any(stage.block == room for stage in plan.stages)]
    tolerances = agreement.load_tolerances(root)
    by_id = {claim.id: claim for listed in claims.values() for claim in listed}
    now = pd.DataFrame(verdicts(root))
    listed = agreement.shifts(agreement.committed(root), now, by_id, tolerances)
    differing = {room: agreement.changed_files(root, f"reports/{room}") for room in rooms}
    Console(width=None if sys.stdout.isatty() else 160).print(agreement.table(listed, rooms, differing, tolerances))
    for line in agreement.paragraph(listed, agreement.changed_files(root, "reports"), arithmetic.is_pinned()):
        print(line)
    return int(not agreement.reproduces(listed))
