"""Layer curves by language on the same sentences, and how much every two agree: the figure of `comparison.py`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from replications.report import plots

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from replications.evidence.run import Run

MEASURED = "measured"
ALL = "all"  # in place of a language: the mean over all pairs
PALETTE = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.RED, plots.PURPLE, plots.SKY, plots.BLACK)
MARKERS = "os^vDP*X"  # one for every seven languages
TITLES = {"pos": "part of speech", "deps": "relation to the head"}


def draw(run: Run, out: Path, title: str) -> None:
    """Write languages.{svg,png} into `out`: a panel per task, a line per language (random weights dotted), and the
    agreement of every two languages."""
    curves, table = run.tables["curves"], run.tables["comparison"]
    tasks = [task for task in TITLES if (curves["task"] == task).any()]
    languages = sorted(curves["language"].unique())
    looks = {language: (PALETTE[i % len(PALETTE)], MARKERS[i // len(PALETTE)]) for i, language in enumerate(languages)}
    with plots.drawn(out / "languages", 2 * len(tasks), width=7.2 * len(tasks), height=3.8) as (figure, axes):
        for ax, task in zip(axes, tasks, strict=False):
            _draw_curves(ax, curves[curves["task"] == task], looks)
            ax.set_title(TITLES[task])
        axes[0].set_ylabel("accuracy")
        axes[0].legend(frameon=False, fontsize=7, ncols=1 + len(languages) // 8)
        for ax, task in zip(axes[len(tasks) :], tasks, strict=True):
            _draw_agreement(ax, table[(table["task"] == task) & (table["weights"] == MEASURED)], languages)
            ax.set_title(f"{TITLES[task]}: rank correlation of curves")
        of = f"{title} languages, {table['n'].iloc[0]} parallel sentences"
        figure.suptitle(f"What linear probes read off each layer, by language ({of}; dotted: random weights)")


def _draw_curves(ax: Axes, curves: pd.DataFrame, looks: dict[str, tuple[str, str]]) -> None:
    for (weights, language), part in curves.groupby(["weights", "language"], sort=False):
        trained, (colour, marker) = weights == MEASURED, looks[language]
        ax.plot(part["layer"], part["value"], color=colour, linewidth=1.4 if trained else 0.8,
                marker=marker if trained else "", markersize=3, linestyle="-" if trained else ":",
                label=language if trained else None)  # fmt: skip
        if trained:
            ax.fill_between(part["layer"], part["ci_low"], part["ci_high"], color=colour, alpha=0.1, linewidth=0)
    ax.set_xlabel("layer (0 = embeddings)")
    plots.whole_numbers(ax.xaxis)
    ax.set_ylim(0, 1)


def _draw_agreement(ax: Axes, table: pd.DataFrame, languages: list[str]) -> None:
    square = np.eye(len(languages))
    pairs = table[(table["quantity"] == "agreement") & (table["language"] != ALL)]
    for row in pairs.itertuples():
        i, j = languages.index(row.language), languages.index(row.other)
        square[i, j] = square[j, i] = row.value
    ax.imshow(square, vmin=-1, vmax=1, cmap="RdBu_r")
    for i, j in np.ndindex(square.shape):
        ax.text(j, i, f"{square[i, j]:.2f}", ha="center", va="center", fontsize=min(7, 56 / len(languages)),
                color="white" if abs(square[i, j]) > 0.6 else "black")  # fmt: skip
    ax.set_xticks(range(len(languages)), languages, fontsize=7)
    ax.set_yticks(range(len(languages)), languages, fontsize=7)
