"""Where and when benchmarks are run, and what else the machine does meanwhile, as Linux tells it."""

import os
import platform
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from replications import arithmetic

INSTRUCTIONS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16")  # of matrix products
PACKAGES = ("torch", "transformers", "transformer_lens", "scikit-learn", "numpy", "numba")
BUSY = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal: fields of /proc/stat; guests are in user
SHORTEST = 1.0  # seconds: /proc/stat counts hundredths of one


@dataclass(frozen=True)
class Moment:
    """Seconds since some moment: by the wall, of processor time of the whole machine, and of this process' share."""

    wall: float
    machine: float | None  # None where nobody tells
    own: float
    load: float

    @classmethod
    def now(cls):
        own = sum(os.times()[:4])  # with the children that have ended, as the peers of other environments
        return cls(time.monotonic(), busy_seconds(_read("/proc/stat")), own, os.getloadavg()[0])


def busy_seconds(stat):
    """Seconds that the processors were at work, or taken away by other machines, from the text of /proc/stat."""
    fields = stat.partition("\n")[0].split()
    if fields[:1] != ["cpu"]:
        return None
    return sum(int(fields[1 + field]) for field in BUSY) / os.sysconf("SC_CLK_TCK")


def others(begin, end):
    """How many cores were busy with something else between two moments, on average; None where nobody tells."""
    if begin.machine is None or end.machine is None or end.wall - begin.wall < SHORTEST:
        return None
    return max(0.0, (end.machine - begin.machine - (end.own - begin.own)) / (end.wall - begin.wall))


def cpu(info):
    """Name of the processor and those of INSTRUCTIONS that it has, from the text of /proc/cpuinfo; None if unsaid."""
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in info.splitlines())}
    flags = said.get("flags")
    return said.get("model name"), None if flags is None else [one for one in INSTRUCTIONS if one in flags.split()]


def conditions(date, begin, end):
    """The tree of `replications.report.benchmarks.Conditions`; `date` is that of the beginning, in UTC."""
    name, instructions = cpu(_read("/proc/cpuinfo"))
    return {
        "date": date.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ"), "processor": name, "instructions": instructions,
        "architecture": platform.machine(), "cores": _cores(), "memory_gib": _memory(),
        "versions": _versions(), "pinned": arithmetic.is_pinned(),
        "load_begin": begin.load, "load_end": end.load, "others": others(begin, end),
    }  # fmt: skip


def today():
    """The date and time, in UTC."""
    return datetime.now(UTC)


def _read(path):
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _cores():
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _memory():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _versions():
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
