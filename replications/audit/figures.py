"""One figure: every printed result beside what its page implies, in units of what rounding allows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from replications.audit.audit import EPSILON, Check
from replications.audit.tables import Table
from replications.report import plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AGREES, DISAGREES = plots.BLUE, plots.RED
TICKS = (-1000, -100, -10, -1, 0, 1, 10, 100, 1000)


def scaled_residual(check: Check) -> float:
    """Printed minus recomputed over what rounding allows, cut at the ends of the axis."""
    return min(max(check.residual / (check.slack or EPSILON), TICKS[0]), TICKS[-1])


def draw(rows: list[Check], tables: dict[str, Table], out: Path) -> None:
    """Write residuals.svg and residuals.png into `out`; bounds have no residual and are left out."""
    equalities = [check for check in rows if check.sense == "equals"]
    labels = {name: _label(name, table) for name, table in tables.items()}
    used = dict.fromkeys(check.table for check in equalities)
    with plots.drawn(out / "residuals", 1, width=11, height=0.25 * len(used) + 1.6) as (_, (axes,)):
        _draw(axes, equalities, labels)


def _label(name: str, table: Table) -> str:
    """First author, year and the table's name, for example `Meng 2022: counterfact score`."""
    author = re.split(r"[ ,]", table.paper, maxsplit=1)[0]
    year = re.search(r"\b(?:19|20)\d\d\b", table.paper)
    source = f"{author} {year.group()}" if year else author
    return f"{source}: {name.replace('_', ' ')}"


def _draw(axes: Axes, checks: list[Check], labels: dict[str, str]) -> None:
    """One line per table, one dot per row; on the right, the rows that no rounding explains."""
    lines = {name: line for line, name in enumerate(dict.fromkeys(check.table for check in checks))}
    axes.axvspan(-1, 1, color="0.92", zorder=0)
    axes.axvline(0, color="0.6", linewidth=0.8, zorder=1)
    for agrees, colour, label in ((True, AGREES, "within rounding"), (False, DISAGREES, "beyond rounding")):
        chosen = [check for check in checks if check.agrees == agrees]
        places = [scaled_residual(check) for check in chosen], [lines[check.table] for check in chosen]
        axes.scatter(*places, s=22, color=colour, alpha=0.75, linewidths=0, zorder=3, label=f"{label} ({len(chosen)})")
    for name, line in lines.items():
        off = ", ".join(c.row.replace("_", " ") for c in checks if c.table == name and not c.agrees)
        axes.annotate(off, (1.01, line), xycoords=("axes fraction", "data"), va="center", color=DISAGREES, size=8)
    _dress(axes, [labels[name] for name in lines])
    axes.set_title(f"Printed results against what their own pages imply (printed tables, n = {len(checks)})")


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
