"""Which stage goes next, and when all will be done: pure functions over the plan and how long stages take."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from replications.pipeline import PipelinePlan, Stage


@dataclass(frozen=True)
class Machine:
    """What stages are given: each takes one core and as many gigabytes as it declares."""

    cores: int
    gigabytes: float

    def has_room(self, stage: Stage, running: Iterable[Stage]) -> bool:
        """Whether a stage may start beside these; one that asks for more than there is gets the machine alone."""
        others = list(running)
        used = sum(other.gigabytes for other in others)
        return not others or (len(others) < self.cores and used + stage.gigabytes <= self.gigabytes)


def by_urgency(plan: PipelinePlan, seconds: Mapping[str, float]) -> list[Stage]:
    """The stages of each phase, those first on which the longest chain of work waits, then dvc.yaml's order."""
    chain = chains(plan, seconds)
    return sorted(plan.stages, key=lambda stage: (stage.phase, -chain[stage.name]))


def chains(plan: PipelinePlan, seconds: Mapping[str, float]) -> dict[str, float]:
    """By stage: seconds from its start to the end of the longest chain of stages that wait for it, itself included."""
    after: dict[str, list[str]] = {stage.name: [] for stage in plan.stages}
    for stage in plan.stages:
        for before in plan.upstream[stage.name]:
            if before in after:
                after[before].append(stage.name)
    found: dict[str, float] = {}
    for stage in reversed(plan.stages):  # a plan lists what a stage depends on before it
        found[stage.name] = seconds[stage.name] + max((found[name] for name in after[stage.name]), default=0.0)
    return found


def is_due(stage: Stage, plan: PipelinePlan, pending: Iterable[Stage]) -> bool:
    """Whether nothing that is pending has to end before it: no upstream of its own and no earlier phase."""
    others = list(pending)
    upstream = set(plan.upstream[stage.name])
    return all(other.phase >= stage.phase and other.name not in upstream for other in others if other != stage)


def finish(
    waiting: Sequence[Stage], left: Mapping[str, float], plan: PipelinePlan, seconds: Mapping[str, float],
    machine: Machine,
) -> float:  # fmt: skip
    """Seconds until all is done, if stages take as long as `seconds` says; `left` is that of the running ones.

    `waiting` is in the order of `by_urgency`; the schedule is played through.
    """
    known = {stage.name: stage for stage in plan.stages}
    ends = [(max(0.0, rest), name) for name, rest in left.items()]
    heapq.heapify(ends)
    queue, now = list(waiting), 0.0
    while queue or ends:
        running = [known[name] for _, name in ends]
        for stage in list(queue):
            if is_due(stage, plan, [*queue, *running]) and machine.has_room(stage, running):
                queue.remove(stage)
                running.append(stage)
                heapq.heappush(ends, (now + seconds[stage.name], stage.name))
        now, _ = heapq.heappop(ends)
    return now
