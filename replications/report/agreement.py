"""How far a run is from the committed evidence, in units that matter to a reader: verdicts, intervals, tolerances."""

from __future__ import annotations

import io
import math
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from pydantic import Field

from replications.claims.schema import Claim
from replications.errors import Refusal
from replications.files import read_yaml
from replications.params import Positive
from replications.records import Record

if TYPE_CHECKING:
    from rich.table import Table

TOLERANCES = Path("data/numerical_tolerances.yaml")
KEYS = ["replication", "claim", "model", "language"]
ABSOLUTE = 1e-6  # what six significant digits leave of a value that should be 0


class Tolerance(Record):
    """What a value may move by: a share of its 95 % interval's width, or of itself where it has none."""

    of_interval: Positive
    relative: Positive
    reason: str = Field(min_length=1)


class Tolerances(Record):
    """Kinds of difference by name, and the kind of every room."""

    kinds: dict[Literal["rounding", "retraining"], Tolerance]
    rooms: dict[str, Literal["rounding", "retraining"]]

    def of(self, room: str) -> Tolerance:
        """Refuses a room that states none."""
        if room not in self.rooms:
            raise Refusal(f"{TOLERANCES} has no line for {room}: say whether it is rounding or retraining")
        return self.kinds[self.rooms[room]]


@dataclass(frozen=True)
class Shift:
    """One verdict of the run beside the committed one.

    `moved` is in the claim's unit and NaN where no number can be compared; `of_interval` and `of_tolerance` are shares
    of the committed interval's width and of the claim's own tolerance, NaN without one.
    """

    place: tuple[str, ...]  # KEYS
    before: str
    after: str
    moved: float
    of_interval: float
    of_tolerance: float
    beyond: bool


def load_tolerances(root: Path) -> Tolerances:
    """Refuses a malformed file, naming the field."""
    return read_yaml(root / TOLERANCES, Tolerances)


def committed(root: Path) -> pd.DataFrame:
    """The verdict table of the last commit. Refuses a folder that is no git checkout."""
    command = ["git", "show", "HEAD:./reports/verdicts.csv"]
    shown = subprocess.run(command, cwd=root, capture_output=True, check=False)
    if shown.returncode:
        raise Refusal(f"{root}: git has no committed reports/verdicts.csv to compare with: run inside a clone")
    return pd.read_csv(io.BytesIO(shown.stdout), dtype={"measured": object})


def changed_files(root: Path, folder: str) -> int:
    """Files under a folder that differ from the last commit by a byte, new and missing ones included."""
    command = ["git", "status", "--porcelain", "--untracked-files=all", "--", folder]
    return len(subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines())


def shifts(before: pd.DataFrame, after: pd.DataFrame, claims: dict[str, Claim], tolerances: Tolerances) -> list[Shift]:
    """One per row of either table; a row that only one of them has is a changed verdict ("" on the other side)."""
    old, new = ({tuple(row[key] for key in KEYS): row for row in table.to_dict("records")} for table in (before, after))
    return [
        _shift(place, old.get(place, {}), new.get(place, {}), claims.get(place[1]), tolerances.of(place[0]))
        for place in dict.fromkeys([*old, *new])
    ]


def _shift(place: tuple[str, ...], old: dict, new: dict, claim: Claim | None, kind: Tolerance) -> Shift:
    verdicts = str(old.get("verdict", "")), str(new.get("verdict", ""))
    pairs = list(zip(_numbers(old.get("measured")), _numbers(new.get("measured")), strict=False))
    moved = max((abs(a - b) for a, b in pairs), default=math.nan)
    size = max((abs(a) for a, _ in pairs), default=math.nan)
    width = _end(old.get("ci_high")) - _end(old.get("ci_low"))
    allowed = kind.of_interval * width if width > 0 else kind.relative * size
    asked = claim.form(place[2], place[3]) if claim else None
    own = asked.tolerance if asked is not None and asked.comparison == "within" else None
    shares = moved / width if width > 0 else math.nan, moved / own if own else math.nan
    return Shift(place, *verdicts, moved, *shares, beyond=moved > allowed + ABSOLUTE)


def _end(cell: Any) -> float:
    """An end of an interval; NaN where the cell is empty."""
    return math.nan if cell is None or cell == "" else float(cell)


def _numbers(measured: Any) -> list[float]:
    """The number, or the numbers of an ordered row, of a cell of the table; none where it names a label."""
    try:
        found = [float(part) for part in str(measured).split(", ")]
    except ValueError:
        return []
    return [number for number in found if math.isfinite(number)]


def reproduces(listed: list[Shift]) -> bool:
    """No verdict changed, and no value left its numerical tolerance."""
    return not any(shift.before != shift.after or shift.beyond for shift in listed)


def table(listed: list[Shift], rooms: list[str], differing: dict[str, int], tolerances: Tolerances) -> Table:
    """One line per room that was run."""
    from rich.table import Table

    lines = Table("replication", "verdicts", "changed", "files that differ", "largest move, in widths of its interval",
                  "in tolerances of its claim", "may move by (widths)")  # fmt: skip
    for room in rooms:
        mine = [shift for shift in listed if shift.place[0] == room]
        changed = sum(shift.before != shift.after for shift in mine)
        largest = [_largest([getattr(shift, share) for shift in mine]) for share in ("of_interval", "of_tolerance")]
        allowed = f"{tolerances.of(room).of_interval:g} ({tolerances.rooms[room]})"
        lines.add_row(room, str(len(mine)), str(changed or "none"), str(differing[room] or "none"), *largest, allowed)
    return lines


def _largest(shares: list[float]) -> str:
    known = [share for share in shares if share == share]
    return "" if not known else f"{max(known):.2g}" if max(known) else "0"


def paragraph(listed: list[Shift], differing: int, pinned: bool) -> list[str]:
    """What a reader should take away, then a line for every verdict that changed and every value that moved too far."""
    changed = [shift for shift in listed if shift.before != shift.after]
    far = [shift for shift in listed if shift.beyond and shift not in changed]
    how = "the same on any x86-64 processor with AVX2" if pinned else "not pinned on this processor, or by choice"
    bytes_ = "No file differs by a byte." if not differing else f"{differing} files differ by a byte or more."
    lines = [
        f"Verdicts compared with the committed ones: {len(listed)}, of which {len(changed) or 'none'} changed, "
        f"{len(far) or 'none'} moved further than {TOLERANCES} allows. {bytes_} The arithmetic is {how}."
    ]
    for shift in changed:
        lines.append(f"- {' '.join(shift.place)}: {shift.before or 'no row'} became {shift.after or 'no row'}")
    lines += [f"- {' '.join(shift.place)}: moved by {shift.moved:.3g}, further than allowed" for shift in far]
    return lines
