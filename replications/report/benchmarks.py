"""Speed: what reports/benchmarks.json holds, and reports/benchmarks.md, which is written from it alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from replications.files import read_json, write_text
from replications.records import Record, checked
from replications.report.costs import costs
from replications.report.escape import markdown
from replications.report.tables import table

QUIET = 0.05  # cores' worth of time for other processes, at most, while a quiet machine measures
ROUNDING = 1e-3  # of the quotient of two numbers with six significant digits, and more than enough
SAID = {None: "nothing asked", True: "✔ met", False: "✗ not met"}
INTRODUCTION = """\
`make bench` runs what is slow here beside what else one would run, on the same model and the same cells or data, in
turns: a round of theirs, a round of ours, and again. Ratios are those of medians over the n rounds of each. *Times
faster* is a peer's time over ours. *Times its floor* is our time over that of the matrix products which an exact method
has to make, at the rate measured in the same turns; a method that leaves out the zeros of sparse codes may lie below
it. On one thread a time is the processor's, so that neighbours hardly matter; on more it is the wall's, which means
something on a quiet machine only."""
NOTHING = "# How fast\n\nNothing was timed yet: `make bench` does it and writes `reports/benchmarks.json`.\n"

AboveZero = Annotated[float, Field(gt=0)]
FromOne = Annotated[int, Field(ge=1)]
FromZero = Annotated[float, Field(ge=0)]


class TimedRatio(Record):
    """One ratio. Times are seconds: of a round, by the median of the rounds of that side."""

    what: str
    kind: Literal["peer", "floor"]  # faster than a peer, or near the floor
    against: str
    threads: FromOne
    rounds: FromOne
    ours_s: AboveZero
    other_rounds: FromOne
    other_s: AboveZero
    ratio: AboveZero  # the other's time over ours for a peer, ours over the other's for a floor
    wanted: AboveZero | None  # at least for a peer, at most for a floor
    reason: str | None  # of what is wanted
    max_abs_diff: FromZero | None  # of the values of both sides; a floor has none
    gemm_gflops: AboveZero  # rate of a block's matrix product, median, from which the floor follows
    load: FromZero  # over the last minute, when the comparison was made
    note: str

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> TimedRatio:
        quotient = self.other_s / self.ours_s if self.kind == "peer" else self.ours_s / self.other_s
        if abs(self.ratio / quotient - 1) > ROUNDING:
            raise ValueError(f"ratio should be that of the times, {quotient:.6g}, not {self.ratio:.6g}")
        if (self.wanted is None) != (self.reason is None):
            raise ValueError("wanted and reason should both be there, or neither")
        return self

    @property
    def met(self) -> bool | None:
        """Whether the ratio is what is wanted; None where nothing is."""
        if self.wanted is None:
            return None
        return self.ratio >= self.wanted if self.kind == "peer" else self.ratio <= self.wanted


class Conditions(Record):
    """Where and when all of it was measured, in one run; None for what was not recorded."""

    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}Z$")] | None  # UTC, of the beginning
    processor: str | None
    instructions: list[str] | None  # of those that matter for matrix products
    architecture: str
    cores: FromOne
    memory_gib: AboveZero | None
    versions: dict[str, str]
    pinned: bool  # whether libraries were told to use AVX2 kernels, as stages are
    load_begin: FromZero | None
    load_end: FromZero | None
    others: FromZero | None  # cores' worth of processor time that went to other processes, or to other machines

    @property
    def busy(self) -> bool | None:
        """Whether others took more than a twentieth of a core; None where that was not recorded."""
        return None if self.others is None else self.others > QUIET


class Benchmarks(Record):
    """reports/benchmarks.json."""

    conditions: Conditions
    comparisons: list[TimedRatio]


def load(file: Path) -> Benchmarks:
    """The benchmarks in a file. Refuses one that is not of that form."""
    found: Benchmarks = checked(read_json(file), Benchmarks, file)
    return found


def write_benchmarks(root: Path) -> Path:
    """Write reports/benchmarks.md from reports/benchmarks.json, which it refuses if damaged, and what a run costs."""
    return write_text(root / "reports" / "benchmarks.md", page(root))


def page(root: Path) -> str:
    """What was timed, and what a run costs."""
    file = root / "reports" / "benchmarks.json"
    parts = [benchmarks(load(file)) if file.exists() else NOTHING, costs(root)]
    return "\n".join(part.rstrip() + "\n" for part in parts if part)


def benchmarks(measured: Benchmarks) -> str:
    """The page: where and when, every ratio, why that much is wanted, what was timed."""
    where, rows = measured.conditions, measured.comparisons
    parts = ["# How fast", INTRODUCTION, "## Where and when", _trust(where), _conditions(where)]
    parts += ["## Ratios", _ratios(rows), "## Why that much is wanted", _reasons(rows)]
    return "\n\n".join([*parts, "## What was timed", _notes(rows)]) + "\n"


def line(row: TimedRatio) -> str:
    """One ratio in a line: for the terminal, and what the table says in columns."""
    other = f"{row.against}, {row.other_s:.3g} s"
    return f"{row.what}, {_threads(row)}: {row.ours_s:.3g} s, {_ratio(row)} ({other}): {SAID[row.met]}"


def _trust(where: Conditions) -> str:
    """How far the times can be trusted, by what else the machine did."""
    if where.others is None:
        missing = "What else the machine did meanwhile was not recorded"
        return f"{missing if where.date else f'{missing}, nor when it was'}: times by the wall may be too long."
    told = f"Other processes took {where.others:.2f} of a core meanwhile"
    if where.busy:
        return f"**The machine was busy.** {told}, more than {QUIET:g}: do not rely on what is timed by the wall."
    return f"The machine was quiet. {told}."


def _conditions(where: Conditions) -> str:
    loads = [_or_not(None if at is None else f"{at:.2f}") for at in (where.load_begin, where.load_end)]
    kernels = "AVX2, as pinned for the evidence" if where.pinned else "the libraries' own choice for this processor"
    cells = {
        "date": where.date and where.date.replace("T", " ").replace("Z", " UTC"),
        "processor": where.processor,
        "architecture": where.architecture,
        "instruction sets": None if where.instructions is None else ", ".join(where.instructions) or "none of note",
        "cores": where.cores,
        "memory": where.memory_gib and f"{where.memory_gib:.3g} GiB",
        "kernels": kernels,
        "load average": loads[0] if loads[0] == loads[1] else f"{loads[0]} at the beginning, {loads[1]} at the end",
        "versions": ", ".join(f"{name} {version}" for name, version in sorted(where.versions.items())),
    }
    return table(["", ""], [[name, markdown(_or_not(cell))] for name, cell in cells.items()])


def _ratios(rows: Sequence[TimedRatio]) -> str:
    header = ["what", "against", "threads", "ratio", "wanted", "met?", "ours", "the other", "largest difference"]
    return table(header, map(_cells, rows))


def _cells(row: TimedRatio) -> list[str]:
    wanted = "" if row.wanted is None else f"{'at least' if row.kind == 'peer' else 'at most'} {row.wanted:g}"
    differs = "" if row.max_abs_diff is None else f"{row.max_abs_diff:.1e}"
    times = [f"{seconds:.3g} s (n={n})" for seconds, n in ((row.ours_s, row.rounds), (row.other_s, row.other_rounds))]
    name = markdown(row.against) if row.kind == "peer" else "its floor"
    return [markdown(row.what), name, str(row.threads), _ratio(row), wanted, SAID[row.met], *times, differs]


def _reasons(rows: Sequence[TimedRatio]) -> str:
    found = {f"{row.what}, {_threads(row)}, {_bound(row)}": row.reason for row in rows if row.wanted and row.reason}
    return "\n".join(f"- **{markdown(name)}**: {markdown(reason)}" for name, reason in found.items()) or "None."


def _notes(rows: Sequence[TimedRatio]) -> str:
    found = dict.fromkeys((row.what, row.note) for row in rows)
    return "\n".join(f"- **{markdown(what)}**: {markdown(note)}" for what, note in found) or "None."


def _bound(row: TimedRatio) -> str:
    if row.kind == "peer":
        return f"at least {row.wanted:g} times faster than {row.against}"
    return f"at most {row.wanted:g} times its floor"


def _ratio(row: TimedRatio) -> str:
    return f"{row.ratio:.3g} times {'faster' if row.kind == 'peer' else 'its floor'}"


def _threads(row: TimedRatio) -> str:
    return "one thread" if row.threads == 1 else f"{row.threads} threads"


def _or_not(value: object) -> str:
    return "not recorded" if value is None else str(value)
