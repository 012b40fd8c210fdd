"""Stages run side by side, each recorded in DVC's lock once it is done; one that fails stops only what depends on it.

DVC runs one stage at a time. Here a stage's command is a process of its own, as many at a time as there are cores and
memory for, each on one thread; this process alone writes the lock, by DVC itself.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from replications import arithmetic
from replications.pipeline import PipelinePlan, Stage

GIGABYTES = 6  # of memory that a stage may need
LOGS = Path("reports/local/logs")
TAIL = 6  # last lines of its output that a failed stage shows


@dataclass(frozen=True)
class Done:
    """A stage that was run, or why it was not: `failure` is empty when its outputs were made and recorded."""

    stage: Stage
    seconds: float
    failure: str = ""


def workers() -> int:
    """How many stages this machine runs at a time: one per core, as far as memory goes."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return max(1, min(len(os.sched_getaffinity(0)), int(memory // GIGABYTES)))


def run(plan: PipelinePlan, root: Path, jobs: int, record: Callable[[Stage], None]) -> Iterator[Done]:
    """Run every stage of the plan, phase by phase, and yield each as it ends; a phase begins whatever failed before.

    `record` is called between, in this thread, with each stage that succeeded.
    """
    awaited = Counter(before for stage in plan.stages for before in plan.upstream[stage.name])
    for phase in sorted({stage.phase for stage in plan.stages}):
        waiting = [stage for stage in plan.stages if stage.phase == phase]
        waiting.sort(key=lambda stage: -awaited[stage.name])  # so that no chain is left for the end
        yield from _run_phase(waiting, plan, root, jobs, record)


def _run_phase(
    waiting: list[Stage], plan: PipelinePlan, root: Path, jobs: int, record: Callable[[Stage], None]
) -> Iterator[Done]:
    failed: set[str] = set()
    running: dict[Future[Done], Stage] = {}
    with ThreadPoolExecutor(jobs) as pool:
        while waiting or running:
            for stage in list(waiting):
                if lost := failed & set(plan.upstream[stage.name]):
                    waiting.remove(stage)
                    failed.add(stage.name)
                    yield Done(stage, 0.0, f"it needs {', '.join(sorted(lost))}, which failed")
                elif len(running) < jobs and not _unfinished(plan, stage, waiting, running):
                    waiting.remove(stage)
                    running[pool.submit(_run, stage, root)] = stage
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                done = future.result()
                del running[future]
                if done.failure:
                    failed.add(done.stage.name)
                else:
                    record(done.stage)
                yield done


def reproduce(plan: PipelinePlan, root: Path, jobs: int) -> int:
    """Run the plan and say, line by line, what is done, and at the end what was made and how far it is from what was.

    Returns the exit code: 1 when a stage failed, a verdict changed or a value left its numerical tolerance.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    began, made = time.monotonic(), []
    console.print(f"{len(plan.stages)} stages, {jobs} at a time; what they say goes to {root / LOGS}")
    for done in run(plan, root, jobs, recorder(root)):
        made.append(done)
        console.print(_line(done, len(made), len(plan.stages), time.monotonic() - began))
    failed = [done for done in made if done.failure]
    console.print(f"{len(made) - len(failed)} stages made, {len(failed)} failed, {len(plan.left_out)} left out.")
    return max(_compare(plan, root), int(bool(failed)))


def _line(done: Done, number: int, of: int, elapsed: float) -> str:
    """What became of a stage, and when the rest should be done, as if the others took as long as these on average."""
    left = elapsed / number * (of - number)
    where = f"[{number}/{of}] {done.stage.name}"
    if done.failure:
        return f"{where} FAILED: {done.failure}"
    return f"{where}: {done.seconds:.0f} s ({elapsed / 60:.0f} min so far, about {left / 60:.0f} min to go)"


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


def recorder(root: Path) -> Callable[[Stage], None]:
    """Writes a stage's hashes into dvc.lock, as `dvc repro` would have."""
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.WARNING)  # it says of every stage that it updates the lock
    repo = Repo(str(root))

    def record(stage: Stage) -> None:
        with contextlib.chdir(root):  # where DVC looks for a stage by its name
            repo.commit(stage.name, force=True)

    return record


def _unfinished(plan: PipelinePlan, stage: Stage, waiting: list[Stage], running: dict[Future[Done], Stage]) -> set[str]:
    pending = {other.name for other in (*waiting, *running.values())}
    return pending & set(plan.upstream[stage.name])


def _run(stage: Stage, root: Path) -> Done:
    """The stage's command, as DVC would run it, with this Python's programs first; its output goes to a log."""
    log = root / LOGS / f"{stage.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    began = time.monotonic()
    with open(log, "w", encoding="utf-8") as out:
        code = subprocess.run(
            stage.cmd, shell=True, cwd=root, env=os.environ | {"PATH": path}, stdout=out, stderr=subprocess.STDOUT
        ).returncode
    return Done(stage, time.monotonic() - began, _failure(log, code) if code else "")


def _failure(log: Path, code: int) -> str:
    """The end of what the command said, and where the rest is."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return "\n".join([*(lines[-TAIL:] or [f"its command ended with status {code}"]), f"(all of it: {log})"])
