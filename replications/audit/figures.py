"""One figure: every printed result beside what its page implies, in units of what rounding allows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from replications.report import plots

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from replications.evidence.run import Run

AGREES, DISAGREES = plots.BLUE, plots.RED
TICKS = (-1000, -100, -10, -1, 0, 1, 10, 100, 1000)


def draw(run: Run, out: Path, title: str) -> None:
    """Write residuals.svg and residuals.png into `out`, cut at the ends of the axis; there is one run, so no title."""
    table = run.tables["residuals"]
    with plots.drawn(out / "residuals", 1, width=11, height=0.25 * table["table"].nunique() + 1.6) as (_, (axes,)):
        _draw(axes, table.assign(of_slack=table["of_slack"].clip(TICKS[0], TICKS[-1])))


def _label(name: str, paper: str) -> str:
    """First author, year and the table's name, for example `Meng 2022: counterfact score`."""
    author = re.split(r"[ ,]", paper, maxsplit=1)[0]
    year = re.search(r"\b(?:19|20)\d\d\b", paper)
    source = f"{author} {year.group()}" if year else author
    return f"{source}: {name.replace('_', ' ')}"


def _draw(axes: Axes, table: pd.DataFrame) -> None:
    """One line per printed table, one dot per row; on the right, the rows that no rounding explains."""
    lines = {name: line for line, name in enumerate(table["table"].unique())}
    axes.axvspan(-1, 1, color="0.92", zorder=0)
    axes.axvline(0, color="0.6", linewidth=0.8, zorder=1)
    for agrees, colour, label in ((True, AGREES, "within rounding"), (False, DISAGREES, "beyond rounding")):
        chosen = table[table["agrees"] == agrees]
        places = chosen["of_slack"], chosen["table"].map(lines)
        axes.scatter(*places, s=22, color=colour, alpha=0.75, linewidths=0, zorder=3, label=f"{label} ({len(chosen)})")
    for name, rows in table[~table["agrees"]].groupby("table"):
        off = ", ".join(row.replace("_", " ") for row in rows["row"])
        place = (1.01, lines[name])
        axes.annotate(off, place, xycoords=("axes fraction", "data"), va="center", color=DISAGREES, size=8)
    _dress(axes, [_label(*pair) for pair in table.groupby("table", sort=False)["paper"].first().items()])
    axes.set_title(f"Printed results against what their own pages imply (printed tables, n = {len(table)})")


def _dress(axes: Axes, names: list[str]) -> None:
    axes.set_xscale("symlog", linthresh=2, linscale=1.5)
    axes.set_xlim(-1500, 1500)
    axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel("(printed - recomputed) / what rounding allows")
    axes.legend(loc="upper left", frameon=False, fontsize=8, handletextpad=0.1, borderaxespad=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
