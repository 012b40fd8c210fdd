"""How long stages take: data/durations.json of one machine, reports/local/durations.json of this one.

Neither changes a number.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from replications.errors import Refusal
from replications.files import read_json, write_json
from replications.pipeline import Stage
from replications.records import Record, checked

RECORDED, MEASURED = Path("data/durations.json"), Path("reports/local/durations.json")
UNKNOWN = 60.0  # seconds, of a stage whose like was never run


class StageUsage(Record):
    """What a stage took: seconds of wall time and of processors, and gigabytes at its peak."""

    seconds: float
    cpu_seconds: float
    gigabytes: float


class Durations(Record):
    """Usage by stage on one machine; `calibration` are the seconds that the fixed piece of work took there."""

    processor: str
    calibration: float | None
    stages: dict[str, StageUsage]


def durations(file: Path) -> Durations:
    """What is known of how long stages take; of nothing when there is no file, or none that can be read."""
    try:
        return checked(read_json(file), Durations, file)
    except (Refusal, FileNotFoundError):
        return Durations(processor="", calibration=None, stages={})


def keep_durations(root: Path, calibration: float | None, took: Mapping[str, StageUsage]) -> None:
    """Add to what is known of this machine."""
    known = durations(root / MEASURED)
    stages = dict(sorted({**known.stages, **took}.items()))
    fresh = Durations(processor=processor(), calibration=calibration or known.calibration, stages=stages)
    write_json(root / MEASURED, fresh.model_dump())


def expected(stages: list[Stage], known: Mapping[str, float]) -> dict[str, float]:
    """Seconds by stage: what is `known`, else the median of its room, else that of all."""
    by_block: dict[str, list[float]] = {}
    for name, seconds in known.items():
        by_block.setdefault(name.partition("@")[0], []).append(seconds)
    typical = median(known.values()) if known else UNKNOWN
    return {stage.name: known.get(stage.name, median(by_block.get(stage.block, [typical]))) for stage in stages}


def processor() -> str:
    """The name of the processor, as far as the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
