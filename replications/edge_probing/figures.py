"""The paper's two figures: one bar per task for each summary of depth, and the differential scores layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from replications.edge_probing.summary import PUBLISHED
from replications.report import plots

NAMES = {"pos": "POS", "consts": "Consts.", "deps": "Deps.", "entities": "Entities", "srl": "SRL", "coref": "Coref.",
         "spr2": "SPR2", "relations": "Relations"}  # fmt: skip
BARS = {"expected_layer": ("#8172b3", "expected layer"), "center_of_gravity": ("#4c72b0", "centre of gravity")}


def draw(out: Path, trees: Mapping[str, Any], table: pd.DataFrame, title: str) -> None:
    """Write bars, deltas and curves as SVG and PNG into `out`."""
    tasks = in_order(set(table["task"]))
    bars(out / "bars", trees, tasks, int(table["layer"].max()), f"where each task is solved ({title})")
    deltas(out / "deltas", table, tasks, f"differential score by layer, and mixing weights ({title})")
    curves(out / "curves", table, tasks, f"F1 of probes that see layers 0 to k ({title})")


def in_order(tasks: set[str]) -> list[str]:
    """Tasks in the order of the paper's BERT-large, others after."""
    known = [task for task in PUBLISHED["large"] if task in tasks]
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
            ax.set_title(label, fontsize=9)
        handles = [Patch(color=colour, label=name) for colour, name in BARS.values()]
        axes[-1].legend(handles=handles, frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.02, 1))
        figure.suptitle(title, fontsize=10)


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
            ax.xaxis.get_major_locator().set_params(integer=True)
            ax.set_title(f"{NAMES.get(task, task)}, n = {rows['n'].iloc[0]}", fontsize=9)
            ax.set_xlabel("layer")
        axes[0].set_ylabel("F1 gained (bars)")
        figure.suptitle(title, fontsize=10)


def curves(stem: Path, table: pd.DataFrame, tasks: Sequence[str], title: str) -> None:
    """Small multiples, one per task: cumulative F1 with its band, trained and random weights."""
    with plots.drawn(stem, len(tasks), width=1.2 + 1.75 * len(tasks), height=2.6) as (figure, axes):
        for ax, task in zip(axes, tasks, strict=True):
            for weights, colour in (("measured", "#c44e52"), ("control", "#8c8c8c")):
                rows = table[(table["task"] == task) & (table["weights"] == weights)].dropna(subset="f1")
                ax.plot(rows["layer"], rows["f1"], color=colour, label=plots.PANELS[weights])
                ax.fill_between(rows["layer"], rows["ci_low"], rows["ci_high"], color=colour, alpha=0.2, linewidth=0)
            ax.xaxis.get_major_locator().set_params(integer=True)
            ax.set_title(NAMES.get(task, task), fontsize=9)
            ax.set_xlabel("layers 0 to k")
        axes[0].set_ylabel("micro-F1, test")
        axes[-1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.02, 1))
        figure.suptitle(title, fontsize=10)


def _bar(ax: Any, places: np.ndarray, leaves: Sequence[Mapping[str, Any]], colour: str, name: str) -> None:
    """Horizontal bars with error bars; nothing where a quantity is not defined."""
    held = [(place, leaf) for place, leaf in zip(places, leaves, strict=True) if leaf["value"] is not None]
    values = [leaf["value"] for _, leaf in held]
    ends = [[max(0.0, leaf["value"] - leaf["ci_low"]) for _, leaf in held],
            [max(0.0, leaf["ci_high"] - leaf["value"]) for _, leaf in held]]  # fmt: skip
    ax.barh([place for place, _ in held], values, height=0.36, color=colour, label=name)
    ax.errorbar(values, [place for place, _ in held], xerr=ends, fmt="none", ecolor="0.2", elinewidth=0.8)
