"""The paper's figures: sweeps over sparsity, figures in the plane, plateaus of dimensionality, phase diagrams."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from replications.report import plots

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from replications.evidence.run import Run

KINDS = {"relu": (plots.BLUE, "ReLU output"), "linear": ("0.55", "linear (control)")}
PHASE_COLOURS = {"ignored": "#e6e6e6", "dedicated": plots.BLUE, "superposition": plots.RED}
LINES = {"tetrahedron": 3 / 4, "triangle": 2 / 3, "digon": 1 / 2, "pentagon": 2 / 5, "square_antiprism": 3 / 8}


def draw(run: Run, out: Path, title: str) -> None:
    """Write sweeps, geometry, plateaus and phases as SVG and PNG into `out`; there is one model, so no title."""
    tables, sizes = run.tables, run.tables["sizes"].set_index("experiment")
    draw_sweeps(out / "sweeps", tables["sweeps"], sizes)
    draw_geometry(out / "geometry", tables["vectors"], tables["geometry"]["seed"].nunique())
    draw_plateaus(out / "plateaus", tables["dimensions"], tables["plateaus"], sizes)
    draw_phases(out / "phases", tables["phases"], sizes)


def draw_sweeps(stem: Path, table: pd.DataFrame, sizes: pd.DataFrame) -> None:
    """Features represented by density, one dot per seed; dotted: the number of dimensions and of features."""
    names = table["sweep"].unique()
    with plots.drawn(stem, len(names), width=9.5, height=3.4) as (figure, axes):
        for ax, name in zip(axes, names, strict=True):
            part = table[table["sweep"] == name]
            for kind, (colour, label) in KINDS.items():
                counts = part[part["model"] == kind].pivot(index="density", columns="seed", values="represented")
                ax.plot(counts.index, counts, "o", color=colour, markersize=3, alpha=0.5)
                ax.plot(counts.index, counts.mean(axis=1), color=colour, label=label)
            n, m = (int(sizes.loc[name, of]) for of in ("features", "dimensions"))
            for count, text in ((m, f"m = {m}"), (n, f"n = {n}")):
                ax.axhline(count, color="0.6", linewidth=0.8, linestyle=":")
                ax.annotate(text, (1, count), xytext=(3, 3), textcoords="offset points", fontsize=7, color="0.4")
            _density_axis(ax)
            ax.set_ylabel("features represented")
            base, seeds = sizes.loc[name, "importance"], part["seed"].nunique()
            ax.set_title(f"n = {n}, m = {m}, importance {base:g}ⁱ, {seeds} seeds")
        axes[0].legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 0.95))
        figure.suptitle("Sparse features are stored in superposition by the ReLU model only")


def draw_geometry(stem: Path, vectors: pd.DataFrame, restarts: int) -> None:
    """The best model of each sparsity: one arrow per feature, darker for the more important."""
    best = list(vectors.groupby(["density", "figure"], sort=False))
    with plots.drawn(stem, len(best), width=2.1 * len(best), height=2.6) as (figure, axes):
        for ax, ((density, shape), part) in zip(axes, best, strict=True):
            for i, x, y in zip(part["feature"], part["x"], part["y"], strict=True):
                ax.plot([0, x], [0, y], color=str(0.13 * i), linewidth=1.6)
                ax.plot(x, y, "o", color=str(0.13 * i), markersize=5)
            ax.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), xticks=[], yticks=[], aspect="equal")
            ax.spines[:].set_visible(False)
            ax.set_title(f"S = {1 - density:.0%}\n{shape.replace('_', ' ')}")
        figure.suptitle(
            f"Five features in two dimensions, best of {restarts} by sparsity S (black: the most important)"
        )


def draw_plateaus(stem: Path, dstar: pd.DataFrame, bins: pd.DataFrame, sizes: pd.DataFrame) -> None:
    """D* and the dimensionality of every feature by 1 / (1 - S); dotted lines are the published plateaus."""
    with plots.drawn(stem, 2, width=11, height=4) as (figure, (left, right)):
        left.plot(1 / dstar["density"], dstar["dimensions_per_feature"], "o", color=plots.BLUE, markersize=3)
        means = dstar.groupby("density")["dimensions_per_feature"].mean()
        left.plot(1 / means.index, means, color=plots.BLUE)
        for value in (1, 0.5):
            left.axhline(value, color="0.6", linewidth=0.8, linestyle=":")
        plots.log_axis(left.xaxis)
        left.set(ylim=(0, 1.1), xlabel="1 / (1 - S)", ylabel="D* = m / ||W||²")
        each = bins.loc[bins.index.repeat(bins["features"])]  # a row per feature
        spread = np.exp(np.random.default_rng(0).uniform(-0.09, 0.09, len(each))) / each["density"]
        right.plot(spread, each["dimensionality"], ".", color=plots.BLUE, markersize=2, alpha=0.5, markeredgewidth=0,
                   rasterized=True)  # fmt: skip
        _lines(right)
        plots.log_axis(right.xaxis)
        right.set(ylim=(-0.02, 1.05), xlabel="1 / (1 - S)", ylabel="D of each feature")
        n, m = (int(sizes.loc["plateaus", of]) for of in ("features", "dimensions"))
        seeds = dstar["seed"].nunique()
        figure.suptitle(f"{n} features in {m} dimensions, {seeds} seeds (dotted: published plateaus)")


def _lines(ax: Axes) -> None:
    for name, value in LINES.items():
        ax.axhline(value, color="0.6", linewidth=0.8, linestyle=":")
        side = "top" if value == min(LINES.values()) else "bottom"  # the two lowest lie close to each other
        ax.annotate(name.replace("_", " "), (1.01, value), xycoords=("axes fraction", "data"), fontsize=7, va=side)


def draw_phases(stem: Path, cells: pd.DataFrame, sizes: pd.DataFrame) -> None:
    """Observed and predicted phase of the extra feature, by density and relative importance."""
    from matplotlib.colors import ListedColormap

    colours, phases = ListedColormap(list(PHASE_COLOURS.values())), list(PHASE_COLOURS)
    panels = [(shape, kind) for shape in cells["shape"].unique() for kind in ("observed", "predicted")]
    with plots.drawn(stem, len(panels), width=13, height=3.4) as (figure, axes):
        for ax, (shape, kind) in zip(axes, panels, strict=True):
            part = cells[cells["shape"] == shape]
            values = part[kind].map(phases.index).to_numpy().reshape(part["density"].nunique(), -1)
            ax.imshow(values, cmap=colours, vmin=0, vmax=2, origin="upper", extent=(-1, 1, -2, 0), aspect="auto")
            ax.set(xlabel="log10 relative importance", ylabel="log10 density")
            n, m = (int(sizes.loc[shape, of]) for of in ("features", "dimensions"))
            ax.set_title(f"n = {n}, m = {m}: {kind}")
        for name, colour in PHASE_COLOURS.items():
            axes[-1].plot([], [], "s", color=colour, label=name)
        plots.beside(axes[-1])
        figure.suptitle("What becomes of one feature too many, trained and by theory")


def _density_axis(ax: Axes) -> None:
    plots.log_axis(ax.xaxis)
    ax.invert_xaxis()
    ax.set_xlabel("density 1 - S")
