"""The post's heat maps over the grid, recovery by true feature, and the article's neuron taken apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from replications.report import plots

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from replications.evidence.run import Run

RECOVERED = 0.9  # cosine from which a true feature counts as recovered
MAPS = {"mmcs": ("mean cosine with the truth (MMCS)", 1.0),
        "mmcs_larger": ("mean cosine with the next larger dictionary", 1.0),
        "dead": ("dead units (cut at 100)", 100.0)}  # fmt: skip
CONTROL_COLOURS = {"random": "0.6", "pca": plots.ORANGE, "ica": plots.GREEN}
CONTROLS = {"random": "random directions", "pca": "principal components", "ica": "independent components"}
SHOWN = 12  # concepts of a unit, the strongest first


def draw(run: Run, out: Path, title: str) -> None:
    """Write grid, recovery and article as SVG and PNG into `out`; there is one model, so no title."""
    grid, recovery, article = (run.tables[name] for name in ("grid", "recovery", "article"))
    n_true = recovery["feature"].nunique()
    draw_grid(out / "grid", grid[grid["data"] == "independent"], n_true)
    draw_recovery(out / "recovery", recovery, n_true)
    draw_article(out / "article", article[article["toy"] == 0])


def draw_grid(stem: Path, table: pd.DataFrame, n_true: int) -> None:
    """Heat maps, L1 coefficient x dictionary size; dead units are cut at 100 as in the post."""
    ratios = table["ratio"].nunique()
    with plots.drawn(stem, len(MAPS), width=12, height=0.5 * ratios + 1.8) as (figure, axes):
        for ax, (name, (title, top)) in zip(axes, MAPS.items(), strict=True):
            cells = table.pivot(index="ratio", columns="alpha", values=name)
            grid = cells.to_numpy(dtype=float)
            ax.set_facecolor("0.85")
            image = ax.imshow(np.minimum(grid, top), cmap="viridis", vmin=0, vmax=top, aspect="auto", origin="lower")
            _write_cells(ax, grid, top)
            ax.set_xticks(range(len(cells.columns)), [f"{alpha:.2g}" for alpha in cells.columns], rotation=45)
            ax.set_yticks(range(len(cells)), [f"{ratio:g}" for ratio in cells.index])
            ax.set_xlabel("L1 coefficient")
            ax.set_title(title)
            figure.colorbar(image, ax=ax)
        axes[0].set_ylabel(f"features / {n_true}")
        figure.suptitle("How well dictionaries of the toy find its features, by L1 coefficient and size")


def draw_recovery(stem: Path, table: pd.DataFrame, n_true: int) -> None:
    """Largest cosine of every true feature, frequent ones first, with the best dictionary and with the controls."""
    cosines = table.pivot(index="feature", columns="directions", values="cosine")
    with plots.drawn(stem, 1, width=8, height=3.4) as (_, (ax,)):
        units = f"{table['units'].iloc[0]} units"
        ax.plot(cosines["autoencoder"], ".", color=plots.BLUE, markersize=4, label=f"autoencoder, {units}")
        for name, colour in CONTROL_COLOURS.items():
            label = f"{CONTROLS[name]} (control)"
            ax.plot(cosines[name], ".", color=colour, markersize=2, alpha=0.7, label=label)
        ax.axhline(RECOVERED, color="0.4", linewidth=0.8, linestyle=":", label=f"recovered: {RECOVERED:g} and above")
        ax.set(
            ylim=(0, 1.03), xlim=(-2, n_true + 1), xlabel="true feature, from frequent to rare", ylabel="largest cosine"
        )
        plots.beside(ax, markerscale=2)
        ax.set_title("Which true features come back")


def draw_article(stem: Path, table: pd.DataFrame) -> None:
    """Strongest responses of the neuron and of the feature of each of its words, in one toy."""
    from matplotlib.patches import Patch

    units = list(table["unit"].unique())
    with plots.drawn(stem, len(units), width=3 * len(units) + 1.5, height=2.8) as (figure, axes):
        for ax, unit in zip(axes, units, strict=True):
            part = table[table["unit"] == unit].sort_values("response", ascending=False, kind="stable")[:SHOWN]
            concepts = part["concept"].map(str)
            colours = [plots.RED if not concept.isdigit() else "0.6" for concept in concepts]
            ax.bar(range(len(part)), part["response"], color=colours)
            ax.set_xticks(range(len(part)), concepts.map(plots.legible), rotation=60, ha="right", fontsize=7)
            ax.set_title(unit if unit == "neuron" else f"feature of {unit}")
        axes[0].set_ylabel("response")
        handles = [Patch(color=plots.RED, label="the three words"), Patch(color="0.6", label="other concepts")]
        plots.beside(axes[-1], handles=handles)
        figure.suptitle(f"A neuron of three words and the features that take it apart ({SHOWN} strongest concepts)")


def _write_cells(ax: Axes, grid: np.ndarray, top: float) -> None:
    for (y, x), value in np.ndenumerate(grid):
        if np.isfinite(value):
            text = f"{value:.2f}" if top == 1 else f"{value:.0f}"
            ax.annotate(
                text, (x, y), ha="center", va="center", fontsize=7, color="white" if value < top / 2 else "black"
            )
