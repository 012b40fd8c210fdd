"""Who agrees with whom: every numeric claim of a room as a small forest plot over models and languages."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replications.claims.compare import Region, as_text, region
from replications.claims.schema import Claim
from replications.report import plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]
NUMERIC = ("within", "at_least", "at_most", "sign")
VERDICT_COLOURS = {"holds": "#4c72b0", "fails": "#c44e52", "inconclusive": "#8c8c8c"}
PANELS_A_ROW = 4


def panels(claims: list[Claim], rows: list[Row]) -> list[tuple[Claim, list[Row]]]:
    """The claims with a numeric general form that was measured somewhere, each with its rows of the verdict table."""
    numeric = [claim for claim in claims if claim.general and claim.general.comparison in NUMERIC]
    return [(claim, part) for claim in numeric if (part := _measured(claim, rows))]


def forest(stem: Path, room: str, asked: list[tuple[Claim, list[Row]]]) -> None:
    """Write stem.svg and stem.png: one panel per claim, one line per run.

    Dots with 95 % intervals are the trained models, hollow diamonds their random twins, the shaded region satisfies the
    claim.
    """
    runs = [f"{row['model']}, {row['language']}" for row in asked[0][1]]
    lines = math.ceil(len(asked) / PANELS_A_ROW)
    with plots.drawn(stem, 1, width=13, height=lines * (0.9 + 0.22 * len(runs))) as (figure, (whole,)):
        whole.remove()
        grid = figure.subplots(lines, PANELS_A_ROW, squeeze=False).flatten()
        for axes, (claim, part) in zip(grid, asked, strict=False):
            _panel(axes, claim, part)
        for axes in grid[len(asked) :]:
            axes.set_visible(False)
        for axes in grid[::PANELS_A_ROW]:
            axes.set_yticks(range(len(runs)), runs)
        figure.suptitle(f"{room}: claims across models and languages", fontsize=10)


def _measured(claim: Claim, rows: list[Row]) -> list[Row]:
    """The claim's rows on other models and languages that have a number."""
    mine = [row for row in rows if row["claim"] == claim.id and row["verdict"] in VERDICT_COLOURS]
    return [row for row in mine if isinstance(row["measured"], int | float)]


def _panel(axes: Axes, claim: Claim, rows: list[Row]) -> None:
    """One claim: a line per run, the region that satisfies the claim shaded."""
    for line, row in enumerate(rows):
        colour = VERDICT_COLOURS[row["verdict"]]
        if row["ci_low"] is not None:
            axes.plot([row["ci_low"], row["ci_high"]], [line, line], color=colour, linewidth=1.6)
        axes.plot(row["measured"], line, "o", color=colour, markersize=4)
    low, high = _limits(rows, region(claim.general))
    controls = [(row["control"], line) for line, row in enumerate(rows) if isinstance(row["control"], int | float)]
    shown = [(min(max(value, low), high), line) for value, line in controls]  # those far off stand at the edge
    axes.plot(*zip(*shown, strict=True), "D", color="0.45", markersize=3.5, fillstyle="none", linestyle="none")
    _shade(axes, region(claim.general), low, high)
    axes.set_title(f"{claim.id}\n{as_text(claim.general)}", fontsize=8)
    axes.set_xlim(low, high)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    axes.tick_params(labelsize=7)


def _limits(rows: list[Row], wanted: Region) -> tuple[float, float]:
    """What the axis spans: all intervals of trained models, the region's edges and 0, with a margin."""
    ends = [row[key] for row in rows for key in ("measured", "ci_low", "ci_high") if row[key] is not None]
    values = [*ends, *(edge for edge in (wanted.low, wanted.high) if math.isfinite(edge)), 0.0]
    margin = 0.08 * (max(values) - min(values) or 1)
    return min(values) - margin, max(values) + margin


def _shade(axes: Axes, wanted: Region, low: float, high: float) -> None:
    axes.axvspan(max(wanted.low, low), min(wanted.high, high), color="#55a868", alpha=0.12, linewidth=0)
