"""What a run of the suite costs, room by room, and what many models and languages would: from data/durations.json."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from replications.durations import RECORDED, Durations, StageUsage, durations
from replications.progress import duration
from replications.report.escape import markdown
from replications.report.tables import table

FETCHING, DRAWING = ("model", "dataset"), ("figures", "report", "languages")
MODELS, LANGUAGES, CORES = 100, 20, 16  # of the projection
INTRODUCTION = """\
Each stage computes on one thread; `make repro` runs as many at a time as there are cores. Seconds are of wall time,
with a stage on every core of the machine below, and of a stage that another process helped only its own. What is *at
best* or *projected* is arithmetic, everything else was measured."""


def costs(root: Path) -> str:
    """The section of the page: a table by room, the whole, and the projection; empty where nothing was recorded."""
    known = durations(root / RECORDED)
    if not known.stages:
        return ""
    rooms = by_room(known)
    return "\n\n".join(["## What a run costs", INTRODUCTION, _table(rooms), _whole(known), _projection(rooms)])


def by_room(known: Durations) -> dict[str, dict[str, StageUsage]]:
    """What stages took by room, or by what else stages are for, and by run."""
    found: dict[str, dict[str, StageUsage]] = {}
    for name, used in known.stages.items():
        block, _, run = name.partition("@")
        other = (
            "fetching weights and data" if block in FETCHING else "drawing and reporting" if block in DRAWING else ""
        )
        found.setdefault(other or block, {})[name if other else run] = used
    return found


def _table(rooms: dict[str, dict[str, StageUsage]]) -> str:
    header = ["room", "runs", "a run (median)", "processor time of a run", "memory at most", "all runs"]
    return table(header, [
        [markdown(room), len(runs), f"{median(one.seconds for one in runs.values()):.0f} s",
         f"{median(one.cpu_seconds for one in runs.values()):.0f} s",
         f"{max(one.gigabytes for one in runs.values()):.1f} GB",
         duration(sum(one.seconds for one in runs.values()))]
        for room, runs in sorted(rooms.items())
    ])  # fmt: skip


def _whole(known: Durations) -> str:
    seconds, machine = sum(one.seconds for one in known.stages.values()), markdown(known.processor)
    return (
        f"All {len(known.stages)} stages together: {seconds / 3600:.1f} core-hours on {machine}, so at best "
        f"{duration(seconds)} on one core, {duration(seconds / 2)} on two, {duration(seconds / 4)} on four."
    )


def _projection(rooms: dict[str, dict[str, StageUsage]]) -> str:
    """Every room that has runs of a model in a language, once for each of many."""
    medians = {room: median(one.seconds for one in runs.values()) for room, runs in rooms.items() if _has_models(runs)}
    run, n = sum(medians.values()), MODELS * LANGUAGES
    terms = " + ".join(f"{seconds:.0f}" for seconds in medians.values())
    return (
        f"**Projected**, for {MODELS} models × {LANGUAGES} languages of the size of those here, in every room that has "
        f"both ({', '.join(map(markdown, medians))}): {terms} = {run:.0f} s a model and language, × {n} = "
        f"{run * n / 3600:.0f} core-hours, {run * n / 3600 / CORES:.0f} hours on {CORES} cores. A forward pass takes "
        f"time in proportion to a model's parameters: for models ten times as large, ten times that."
    )


def _has_models(runs: dict[str, StageUsage]) -> bool:
    """Whether runs are named after a model and a language, such as gemma-3-270m-fr."""
    return all("-" in run and "@" not in run for run in runs)
