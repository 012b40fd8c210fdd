"""The paper's figures: sweeps over sparsity, figures in the plane, plateaus of dimensionality, phase diagrams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from replications.report import plots
from replications.superposition import experiments, geometry, phases
from replications.superposition.quantities import LINES
from replications.superposition.training import Trained

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = {"relu": (plots.BLUE, "ReLU output"), "linear": ("0.55", "linear (control)")}
PHASE_COLOURS = dict(zip(phases.PHASES, ("#e6e6e6", plots.BLUE, plots.RED), strict=True))


def draw(
    out: Path, trained: Mapping[str, Trained], densities: Sequence[float], cells: list[dict[str, Any]], size: int
) -> None:
    """Write sweeps, geometry, plateaus and phases as SVG and PNG into `out`."""
    draw_sweeps(out / "sweeps", trained)
    draw_geometry(out / "geometry", trained["sparsity"])
    draw_plateaus(out / "plateaus", trained["plateaus"], densities)
    draw_phases(out / "phases", cells, size)


def draw_sweeps(stem: Path, trained: Mapping[str, Trained]) -> None:
    """Features represented by density, one dot per seed; dotted: the number of dimensions and of features."""
    with plots.drawn(stem, len(experiments.SWEEPS), width=9.5, height=3.4) as (figure, axes):
        for ax, (name, (n, m, base)) in zip(axes, experiments.SWEEPS.items(), strict=True):
            for kind, (colour, label) in KINDS.items():
                counts = geometry.represented(trained[f"{name}/{kind}"].W).sum(-1).numpy()
                ax.plot(experiments.DENSITIES, counts, "o", color=colour, markersize=3, alpha=0.5)
                ax.plot(experiments.DENSITIES, counts.mean(1), color=colour, label=label)
            for count, text in ((m, f"m = {m}"), (n, f"n = {n}")):
                ax.axhline(count, color="0.6", linewidth=0.8, linestyle=":")
                ax.annotate(text, (1, count), xytext=(3, 3), textcoords="offset points", fontsize=7, color="0.4")
            _density_axis(ax)
            ax.set_ylabel("features represented")
            ax.set_title(f"n = {n}, m = {m}, importance {base}ⁱ, {counts.shape[1]} seeds")
        axes[0].legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 0.95))
        figure.suptitle("Sparse features are stored in superposition by the ReLU model only")


def draw_geometry(stem: Path, trained: Trained) -> None:
    """The best model of each sparsity: one arrow per feature, darker for the more important."""
    best = trained.best()
    with plots.drawn(stem, len(best), width=2.1 * len(best), height=2.6) as (figure, axes):
        for ax, (_name, density), W in zip(axes, experiments.GEOMETRY.items(), best, strict=True):
            for i, (x, y) in enumerate(W.tolist()):
                ax.plot([0, x], [0, y], color=str(0.13 * i), linewidth=1.6)
                ax.plot(x, y, "o", color=str(0.13 * i), markersize=5)
            ax.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), xticks=[], yticks=[], aspect="equal")
            ax.spines[:].set_visible(False)
            ax.set_title(f"S = {1 - density:.0%}\n{geometry.figure(W).replace('_', ' ')}")
        restarts = trained.loss.shape[1]
        figure.suptitle(
            f"Five features in two dimensions, best of {restarts} by sparsity S (black: the most important)"
        )


def draw_plateaus(stem: Path, trained: Trained, densities: Sequence[float]) -> None:
    """D* and the dimensionality of every feature by 1 / (1 - S); dotted lines are the published plateaus."""
    x = 1 / np.array(densities)
    with plots.drawn(stem, 2, width=11, height=4) as (figure, (left, right)):
        dstar = geometry.dimensions_per_feature(trained.W).numpy()
        left.plot(x, dstar, "o", color=plots.BLUE, markersize=3)
        left.plot(x, dstar.mean(1), color=plots.BLUE)
        for value in (1, 0.5):
            left.axhline(value, color="0.6", linewidth=0.8, linestyle=":")
        plots.log_axis(left.xaxis)
        left.set(ylim=(0, 1.1), xlabel="1 / (1 - S)", ylabel="D* = m / ||W||²")
        generator = np.random.default_rng(0)
        for at, W in zip(x, geometry.dimensionality(trained.W).flatten(1), strict=True):
            spread = at * np.exp(generator.uniform(-0.09, 0.09, len(W)))
            right.plot(spread, W, ".", color=plots.BLUE, markersize=2, alpha=0.5, markeredgewidth=0,
                       rasterized=True)  # fmt: skip
        for name, value in LINES.items():
            right.axhline(value, color="0.6", linewidth=0.8, linestyle=":")
            side = "top" if value == min(LINES.values()) else "bottom"  # the two lowest lie close to each other
            right.annotate(name.replace("_", " "), (1.01, value), xycoords=("axes fraction", "data"), fontsize=7,
                           va=side)  # fmt: skip
        plots.log_axis(right.xaxis)
        right.set(ylim=(-0.02, 1.05), xlabel="1 / (1 - S)", ylabel="D of each feature")
        n, m = experiments.PLATEAUS
        figure.suptitle(f"{n} features in {m} dimensions, {trained.loss.shape[1]} seeds (dotted: published plateaus)")


def draw_phases(stem: Path, cells: list[dict[str, Any]], size: int) -> None:
    """Observed and predicted phase of the extra feature, by density and relative importance."""
    from matplotlib.colors import ListedColormap

    colours = ListedColormap(list(PHASE_COLOURS.values()))
    panels = [(shape, kind) for shape in phases.SHAPES for kind in ("observed", "predicted")]
    with plots.drawn(stem, len(panels), width=13, height=3.4) as (figure, axes):
        for ax, (shape, kind) in zip(axes, panels, strict=True):
            values = [phases.PHASES.index(cell[kind]) for cell in cells if cell["shape"] == shape]
            ax.imshow(np.array(values).reshape(size, size), cmap=colours, vmin=0, vmax=2, origin="upper",
                      extent=(-1, 1, -2, 0), aspect="auto")  # fmt: skip
            ax.set(xlabel="log10 relative importance", ylabel="log10 density")
            n, m = phases.SHAPES[shape]
            ax.set_title(f"n = {n}, m = {m}: {kind}")
        for name, colour in PHASE_COLOURS.items():
            axes[-1].plot([], [], "s", color=colour, label=name)
        plots.beside(axes[-1])
        figure.suptitle("What becomes of one feature too many, trained and by theory")


def _density_axis(ax: Axes) -> None:
    plots.log_axis(ax.xaxis)
    ax.invert_xaxis()
    ax.set_xlabel("density 1 - S")
