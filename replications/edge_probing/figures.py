"""The paper's two figures: one bar per task for each summary of depth, and the differential scores layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from replications.report import plots

if TYPE_CHECKING:
    import pandas as pd

    from replications.evidence.run import Run

# By expected layer in the paper's BERT-large.
NAMES = {"pos": "parts of speech", "consts": "constituents", "entities": "entities", "deps": "dependencies",
         "srl": "semantic roles", "relations": "relations", "coref": "coreference", "spr2": "proto-roles"}  # fmt: skip
BARS = {
    "expected_layer": (plots.ORANGE, "expected layer (from what each layer adds)"),
    "center_of_gravity": (plots.BLUE, "centre of gravity (of the probe's weights)"),
}


def draw(run: Run, out: Path, title: str) -> None:
    """Write bars, deltas and curves as SVG and PNG into `out`."""
    table = run.tables["curves"]
    tasks = in_order(set(table["task"]))
    bars(
        out / "bars",
        run.metrics,
        tasks,
        int(table["layer"].max()),
        f"Where each task is solved ({title}; lines: 95 % intervals; no bar: not defined)",
    )
    deltas(
        out / "deltas", table, tasks, f"What each layer adds to F1, and how a probe of all layers weighs them ({title})"
    )
    curves(out / "curves", table, tasks, f"F1 of probes that see layers 0 to k ({title}; 95 % bands)")


def in_order(tasks: set[str]) -> list[str]:
    """Tasks in the order of the paper's BERT-large, others after."""
    known = [task for task in NAMES if task in tasks]
    return known + sorted(tasks - set(known))


def bars(stem: Path, trees: Mapping[str, Any], tasks: Sequence[str], last: int, title: str) -> None:
    """Expected layer and centre of gravity per task with their intervals, trained beside random weights."""
    with plots.drawn(stem, 2, width=10, height=0.9 + 0.42 * len(tasks)) as (figure, axes):
        for ax, (weights, label) in zip(axes, plots.PANELS.items(), strict=True):
            for offset, (quantity, (colour, name)) in zip((-0.2, 0.2), BARS.items(), strict=True):
                leaves = [trees[weights][quantity][task] for task in tasks]
                _bar(ax, np.arange(len(tasks)) + offset, leaves, colour, name)
            ax.set_yticks(range(len(tasks)), [NAMES.get(task, task) for task in tasks])
            ax.set_ylim(len(tasks) - 0.5, -0.5)
            ax.set_xlim(0, last)
            ax.set_xlabel("layer")
            ax.set_title(label)
        handles = [Patch(color=colour, label=name) for colour, name in BARS.values()]
        plots.beside(axes[-1], handles=handles)
        figure.suptitle(title)


def deltas(stem: Path, table: pd.DataFrame, tasks: Sequence[str], title: str) -> None:
    """Small multiples, one per task: F1 gained at each layer (bars) and the full-depth probe's mix (line)."""
    part = table[table["weights"] == "measured"]
    with plots.drawn(stem, len(tasks), width=1.2 + 1.75 * len(tasks), height=2.6) as (figure, axes):
        for ax, task in zip(axes, tasks, strict=True):
            rows = part[part["task"] == task]
            ax.bar(rows["layer"], rows["delta"], color=BARS["expected_layer"][0])
            ax.axhline(0, color="0.6", linewidth=0.8)
            twin = ax.twinx()
            twin.plot(rows["layer"], rows["mix"], color=BARS["center_of_gravity"][0], linewidth=1.2)
            twin.set_ylim(0, max(0.5, 1.1 * part["mix"].max()))
            twin.set_yticks([])
            plots.whole_numbers(ax.xaxis)
            ax.set_title(f"{NAMES.get(task, task)}\nn = {rows['n'].iloc[0]}")
            ax.set_xlabel("layer")
        axes[0].set_ylabel("F1 gained, points")
        handles = [Patch(color=BARS["expected_layer"][0], label="F1 gained (axis)"),
                   Line2D([], [], color=BARS["center_of_gravity"][0], label="weight (one scale, no axis)")]  # fmt: skip
        plots.beside(axes[-1], handles=handles)
        figure.suptitle(title)


def curves(stem: Path, table: pd.DataFrame, tasks: Sequence[str], title: str) -> None:
    """Small multiples, one per task: cumulative F1 with its band, trained and random weights."""
    with plots.drawn(stem, len(tasks), width=1.2 + 1.75 * len(tasks), height=2.6) as (figure, axes):
        for ax, task in zip(axes, tasks, strict=True):
            for weights, colour in (("measured", plots.BLUE), ("control", plots.GREY)):
                rows = table[(table["task"] == task) & (table["weights"] == weights)].dropna(subset="f1")
                ax.plot(rows["layer"], rows["f1"], color=colour, label=plots.PANELS[weights])
                ax.fill_between(rows["layer"], rows["ci_low"], rows["ci_high"], color=colour, alpha=0.2, linewidth=0)
            plots.whole_numbers(ax.xaxis)
            ax.set_title(NAMES.get(task, task))
            ax.set_xlabel("k")
        axes[0].set_ylabel("F1 on held-out sentences")
        plots.beside(axes[-1])
        figure.suptitle(title)


def _bar(ax: Any, places: np.ndarray, leaves: Sequence[Mapping[str, Any]], colour: str, name: str) -> None:
    """Horizontal bars with error bars; nothing where a quantity is not defined."""
    held = [(place, leaf) for place, leaf in zip(places, leaves, strict=True) if leaf["value"] is not None]
    values = [leaf["value"] for _, leaf in held]
    ends = [[max(0.0, leaf["value"] - leaf["ci_low"]) for _, leaf in held],
            [max(0.0, leaf["ci_high"] - leaf["value"]) for _, leaf in held]]  # fmt: skip
    ax.barh([place for place, _ in held], values, height=0.36, color=colour, label=name)
    ax.errorbar(values, [place for place, _ in held], xerr=ends, fmt="none", ecolor="0.2", elinewidth=0.8)
