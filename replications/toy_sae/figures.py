"""The post's heat maps over the grid, recovery by true feature, and the article's neuron taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from replications.report import plots
from replications.toy_sae import quantities
from replications.toy_sae.recovery import RECOVERED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]
MAPS = {"mmcs": ("mean cosine with the truth (MMCS)", 1.0),
        "mmcs_larger": ("mean cosine with the next larger dictionary", 1.0),
        "dead": ("dead units (cut at 100)", 100.0)}  # fmt: skip
CONTROL_COLOURS = {"random": "0.6", "pca": plots.ORANGE, "ica": plots.GREEN}
CONTROLS = {"random": "random directions", "pca": "principal components", "ica": "independent components"}
SHOWN = 12  # concepts of a unit, the strongest first


def draw(out: Path, rows: list[Row], found: Mapping[str, Any], concepts: list[Row], n_true: int) -> None:
    """Write grid, recovery and article as SVG and PNG into `out`."""
    draw_grid(out / "grid", [row for row in rows if row["data"] == "independent"], n_true)
    draw_recovery(out / "recovery", found, n_true)
    draw_article(out / "article", concepts)


def draw_grid(stem: Path, rows: list[Row], n_true: int) -> None:
    """Heat maps, L1 coefficient x dictionary size; dead units are cut at 100 as in the post."""
    alphas, ratios = (sorted({row[name] for row in rows}) for name in ("alpha", "ratio"))
    with plots.drawn(stem, len(MAPS), width=12, height=0.5 * len(ratios) + 1.8) as (figure, axes):
        for ax, (name, (title, top)) in zip(axes, MAPS.items(), strict=True):
            cells = {(row["ratio"], row["alpha"]): row[name] for row in rows}
            grid = np.array([[cells[ratio, alpha] for alpha in alphas] for ratio in ratios], dtype=float)
            ax.set_facecolor("0.85")
            image = ax.imshow(np.minimum(grid, top), cmap="viridis", vmin=0, vmax=top, aspect="auto", origin="lower")
            _write_cells(ax, grid, top)
            ax.set_xticks(range(len(alphas)), [f"{alpha:.2g}" for alpha in alphas], rotation=45)
            ax.set_yticks(range(len(ratios)), [f"{ratio:g}" for ratio in ratios])
            ax.set_xlabel("L1 coefficient")
            ax.set_title(title)
            figure.colorbar(image, ax=ax)
        axes[0].set_ylabel(f"features / {n_true}")
        figure.suptitle("How well dictionaries of the toy find its features, by L1 coefficient and size")


def draw_recovery(stem: Path, found: Mapping[str, Any], n_true: int) -> None:
    """Largest cosine of every true feature, frequent ones first, with the best dictionary and with the controls."""
    h, i = quantities.best_cell(found["cosines"])
    with plots.drawn(stem, 1, width=8, height=3.4) as (_, (ax,)):
        ax.plot(found["cosines"][h][i], ".", color=plots.BLUE, markersize=4, label=f"autoencoder, {h} units")
        for name, colour in CONTROL_COLOURS.items():
            cosines = found["controls"][name][h]
            ax.plot(cosines, ".", color=colour, markersize=2, alpha=0.7, label=f"{CONTROLS[name]} (control)")
        ax.axhline(RECOVERED, color="0.4", linewidth=0.8, linestyle=":", label=f"recovered: {RECOVERED:g} and above")
        ax.set(
            ylim=(0, 1.03), xlim=(-2, n_true + 1), xlabel="true feature, from frequent to rare", ylabel="largest cosine"
        )
        plots.beside(ax, markerscale=2)
        ax.set_title("Which true features come back")


def draw_article(stem: Path, concepts: list[Row]) -> None:
    """Strongest responses of the neuron and of the feature of each of its words, in the first toy."""
    from matplotlib.patches import Patch

    concepts = [row for row in concepts if row["toy"] == 0]
    units = list(dict.fromkeys(row["unit"] for row in concepts))
    with plots.drawn(stem, len(units), width=3 * len(units) + 1.5, height=2.8) as (figure, axes):
        for ax, unit in zip(axes, units, strict=True):
            part = sorted((row for row in concepts if row["unit"] == unit), key=lambda row: -row["response"])[:SHOWN]
            colours = [plots.RED if not row["concept"].isdigit() else "0.6" for row in part]
            ax.bar(range(len(part)), [row["response"] for row in part], color=colours)
            ax.set_xticks(
                range(len(part)), [plots.legible(row["concept"]) for row in part], rotation=60, ha="right", fontsize=7
            )
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
