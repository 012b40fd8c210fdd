"""Who agrees with whom: every numeric claim of a room as a small forest plot over models and languages.

Written as SVG by hand: a room has up to thirty panels of a few lines each, and a plotting library takes seconds over
their axes and letters. The text is Latin and stays text, which any browser has a font for.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replications.claims.compare import Region, as_text, region
from replications.claims.ledger import VerdictRow
from replications.claims.schema import Claim, Criterion
from replications.files import read_json, write_text
from replications.report.escape import html

Panel = tuple[Claim, list[VerdictRow]]
NUMERIC = ("within", "at_least", "at_most", "sign")
# Okabe and Ito's blue and vermilion, which the colour-blind can tell apart; see plots.py.
VERDICT_COLOURS = {"holds": "#0072b2", "fails": "#d55e00", "inconclusive": "#8c8c8c"}
CONTROL, REGION, DIM = "#555555", "#e0efe9", "#666666"
# Pixels: a column of panels, what of it the names of the runs take, the top of the page, one run, the axis below it.
COLUMNS, COLUMN, NAMES, MARGIN, TOP, LINE, AXIS = 3, 400, 160, 18, 72, 17, 38
TEXT, LETTERS = 15, 58  # from one line of a heading to the next; letters in one
TICKS = 6  # at most


@dataclass(frozen=True)
class PanelPlace:
    """Where the runs of a panel stand on the page (pixels, from the upper left), and the numbers its axis spans."""

    left: float
    top: float
    low: float
    high: float

    def x(self, value: float) -> float:
        """Where a number stands; one off the axis stands at its end."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.left + NAMES + share * (COLUMN - NAMES - MARGIN)

    def y(self, line: float) -> float:
        """The middle of a run's line."""
        return self.top + (line + 0.5) * LINE


def panels(claims: list[Claim], rows: list[VerdictRow]) -> list[Panel]:
    """The claims with a numeric general form that was measured somewhere, each with its rows of the verdict table."""
    numeric = [claim for claim in claims if claim.general and claim.general.comparison in NUMERIC]
    return [(claim, part) for claim in numeric if (part := _measured(claim, rows))]


def with_control_intervals(asked: list[Panel], folder: Path) -> list[Panel]:
    """The panels with `control_low` and `control_high` in each row, from the evidence in a room's folder of reports/.

    None where the control has no interval. The verdict table does not hold them.
    """
    places = {(row["model"], row["language"]) for _, rows in asked for row in rows}
    trees = {place: read_json(folder.joinpath(*place, "metrics.json")).get("control", {}) for place in places}
    return [(claim, [row | _ends(claim, trees[row["model"], row["language"]]) for row in rows])
            for claim, rows in asked]  # fmt: skip


def forest(path: Path, room: str, asked: list[Panel]) -> Path:
    """Write the picture: one panel per claim, one line per run, each under its own name.

    Dots with 95 % intervals are the trained models, hollow diamonds with theirs the random twins, the shaded region
    satisfies the claim.
    """
    lines = [asked[at : at + COLUMNS] for at in range(0, len(asked), COLUMNS)]
    drawn, top = [*_title(room)], TOP
    for line in lines:
        runs = top + TEXT * (1 + max(len(_statement(claim)) for claim, _ in line)) + 6
        for column, (claim, rows) in enumerate(line):
            drawn += _panel(PanelPlace(column * COLUMN, runs, *_limits(rows, region(_form(claim)))), claim, rows)
        top = runs + LINE * max(len(rows) for _, rows in line) + AXIS
    size = f'width="{COLUMNS * COLUMN}" height="{top}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="DejaVu Sans, Verdana, Arial, sans-serif">'
    return write_text(path, "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *drawn, "</svg>\n"]))


def _measured(claim: Claim, rows: list[VerdictRow]) -> list[VerdictRow]:
    """The claim's rows on other models and languages that have a number."""
    mine = [row for row in rows if row["claim"] == claim.id and row["verdict"] in VERDICT_COLOURS]
    return [row for row in mine if _is_number(row["measured"])]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _interval(low: float | None, high: float | None) -> tuple[float, float] | None:
    """None without an interval; an end that is not known reaches to infinity."""
    if low is None or high is None:
        return None
    return (-math.inf if math.isnan(low) else low), (math.inf if math.isnan(high) else high)


def _ends(claim: Claim, tree: Any) -> VerdictRow:
    """Of the interval of the claim's quantity in the control's tree."""
    (path,) = _form(claim).quantities
    for key in path.split("."):
        tree = tree.get(key, {})
    return {f"control_{end}": tree.get(f"ci_{end}") for end in ("low", "high")}


def _form(claim: Claim) -> Criterion:
    """What is asked on a panel: `panels` takes no claim without a general form."""
    return claim.general or claim


def _statement(claim: Claim) -> list[str]:
    return textwrap.wrap(claim.statement, LETTERS)


def _title(room: str) -> Iterator[str]:
    """What the page is about, and what its marks mean."""
    yield _text(COLUMNS * COLUMN / 2, 24, f"Claims of {room} on other models and languages", 16, anchor="middle")
    x, y = 60.0, 48.0
    for verdict, colour in VERDICT_COLOURS.items():
        yield from (_line(x, y, x + 24, y, colour, 2.5), _dot(x + 12, y, colour), _text(x + 32, y + 4, verdict, 12))
        x += 50 + 8 * len(verdict)
    yield _text(x, y + 4, "(trained weights, 95 % intervals)", 12)
    x += 260
    yield from (_line(x, y, x + 24, y, CONTROL, 1), _diamond(x + 12, y))
    yield _text(x + 32, y + 4, "random weights (off the axis: at its end)", 12)
    x += 330
    yield from (_rect(x, y - 7, 24, 14, REGION), _text(x + 32, y + 4, "satisfies the claim", 12))


def _panel(place: PanelPlace, claim: Claim, rows: list[VerdictRow]) -> Iterator[str]:
    """One claim: its statement and what is asked above the runs, a line per run, what satisfies it shaded."""
    lines, x = _statement(claim), place.left + MARGIN
    for number, line in enumerate(reversed(lines)):  # headings stand on their panels
        yield _text(x, place.top - 10 - TEXT * (number + 1), line, 12)
    yield _text(x, place.top - 10, f"{claim.id}: {as_text(_form(claim))}", 11, colour=DIM)
    yield from _axis(place, region(_form(claim)), len(rows))
    for at, row in enumerate(rows):
        name = f"{row['model']}, {row['language']}"
        yield _text(place.left + NAMES - 8, place.y(at) + 4, name, 10.5, anchor="end")
        yield from _run(place, at, row)


def _run(place: PanelPlace, line: int, row: VerdictRow) -> Iterator[str]:
    """One run: the twin's diamond a little below the dot, so that intervals that overlap can be told apart."""
    if _is_number(row["control"]):
        y = place.y(line + 0.25)
        if ends := _interval(row.get("control_low"), row.get("control_high")):
            yield _line(place.x(ends[0]), y, place.x(ends[1]), y, CONTROL, 1)
        yield _diamond(place.x(row["control"]), y)
    y, colour = place.y(line - 0.1), VERDICT_COLOURS[row["verdict"]]
    if ends := _interval(row["ci_low"], row["ci_high"]):
        yield _line(place.x(ends[0]), y, place.x(ends[1]), y, colour, 2.5)
    yield _dot(place.x(row["measured"]), y, colour)


def _axis(place: PanelPlace, wanted: Region, lines: int) -> Iterator[str]:
    """The shaded region, a thin line at 0, and the axis below the runs with its ticks."""
    top, bottom = place.y(-0.5), place.y(lines - 0.5)
    left, right = place.x(wanted.low), place.x(wanted.high)
    yield _rect(left, top, right - left, bottom - top, REGION)
    yield _line(place.x(0), top, place.x(0), bottom, "#bbbbbb", 1)
    yield _line(place.x(place.low), bottom, place.x(place.high), bottom, "#333333", 1)
    for tick in ticks(place.low, place.high):
        yield _line(place.x(tick), bottom, place.x(tick), bottom + 4, "#333333", 1)
        yield _text(place.x(tick), bottom + 15, f"{tick:g}", 10, anchor="middle")


def ticks(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten from `low` to `high`, as many as stand side by side."""
    power = math.floor(math.log10((high - low) / TICKS))
    for factor in (1, 2, 5, 10, 20):
        step = factor * 10.0**power
        first, last = math.ceil(low / step), math.floor(high / step)
        if last - first < TICKS:
            break
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def _limits(rows: list[VerdictRow], wanted: Region) -> tuple[float, float]:
    """What the axis spans: all intervals of trained models, the region's edges and 0, with a margin."""
    ends = [row[key] for row in rows for key in ("measured", "ci_low", "ci_high")]
    values = [end for end in (*ends, wanted.low, wanted.high, 0.0) if _is_number(end)]
    margin = 0.08 * (max(values) - min(values) or 1)
    return min(values) - margin, max(values) + margin


def _text(x: float, y: float, text: str, size: float, *, colour: str = "#222222", anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{colour}" text-anchor="{anchor}"'
    return f"<text {place}>{html(text)}</text>"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width:g}"/>'


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'


def _diamond(x: float, y: float) -> str:
    corners = f"M{x - 4:.1f} {y:.1f}l4 -4l4 4l-4 4z"
    return f'<path d="{corners}" fill="white" stroke="{CONTROL}"/>'


def _rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'
