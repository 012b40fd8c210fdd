"""Attribution, the three maps of the paths, attention against writing, and the classes on the grid of heads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from replications.report import plots

if TYPE_CHECKING:
    import pandas as pd

    from replications.evidence.run import Run

MAPS = {"path_logits": "to the logits", "path_queries": "to the name movers' queries",
        "path_values": "to the S-inhibition heads' values"}  # fmt: skip
DRAWN = 300  # prompts of a scatter plot: more would not be told apart


def draw(run: Run, out: Path, title: str) -> None:
    """Write dla, paths, attention and classes as SVG and PNG into `out`."""
    heads = run.tables["heads"]
    draw_attribution(out / "dla", heads, len(run.tables["prompts"]), title)
    draw_paths(out / "paths", heads[heads["weights"] == "measured"], title)
    draw_attention(out / "attention", run.tables["attention"], title)
    draw_classes(out / "classes", run.tables["classes"], (heads["layer"].max() + 1, heads["head"].max() + 1), title)


def draw_attribution(stem: Path, heads: pd.DataFrame, n: int, title: str) -> None:
    """Layer x head map of the direct logit attribution, beside its control."""
    limit = max(0.05, heads.loc[heads["weights"] == "measured", "dla"].abs().max())
    with plots.drawn(stem, 2, width=7.5, height=4.2) as (figure, axes):
        for ax, (weights, name) in zip(axes, plots.PANELS.items(), strict=True):
            image = _grid(ax, heads[heads["weights"] == weights], "dla", name, limit)
        figure.colorbar(image, ax=axes, label="logit(IO) - logit(S), nats")
        figure.suptitle(f"What each head writes towards the right name at the last token ({title}, n = {n})")


def draw_paths(stem: Path, heads: pd.DataFrame, title: str) -> None:
    """The three maps of path patching, each in its own range; a map not asked for stays grey."""
    with plots.drawn(stem, len(MAPS), width=11, height=4.2) as (figure, axes):
        for ax, (column, name) in zip(axes, MAPS.items(), strict=True):
            strongest = heads[column].abs().max()
            image = _grid(ax, heads, column, name, strongest if strongest > 0 else 0.01)
            figure.colorbar(image, ax=ax, label="change, share of the logit difference")
        figure.suptitle(f"What corrupting the path from a head changes ({title}; grey: no such path)")


def draw_attention(stem: Path, table: pd.DataFrame, title: str) -> None:
    """Attention to IO against what is written towards IO, prompt by prompt, of the strongest head of either sign."""
    with plots.drawn(stem, 2, width=8.5, height=3.6) as (figure, axes):
        for ax, name in zip(axes, ("name_mover", "negative_name_mover"), strict=True):
            part = table[table["class"] == name]
            ax.set_xlabel("attention from END to IO")
            ax.set_ylabel("written towards IO, nats")
            ax.set_title(f"no {plots.name(name)}")
            if len(part):
                x, y, head = part["attention"], part["written"], f"{part['layer'].iloc[0]}.{part['head'].iloc[0]}"
                ax.scatter(x[:DRAWN], y[:DRAWN], s=6, color=plots.HEADS[name], alpha=0.5, linewidths=0)
                rho = np.corrcoef(x, y)[0, 1]
                ax.set_title(f"{plots.name(name)} {head}\n(correlation {rho:.2f}, n = {len(x)})")
                ax.set_xlim(0, 1)
        figure.suptitle(f"Whether a head writes the name that it attends to ({title}; a dot is a prompt)")


def draw_classes(stem: Path, members: pd.DataFrame, shape: tuple[int, int], title: str) -> None:
    """Layer x head grid coloured by class; a head of two classes has the colour of the one named first."""
    grid = np.zeros(shape, dtype=int)
    for number, name in reversed(list(enumerate(plots.HEADS, start=1))):
        part = members[members["class"] == name]
        grid[part["layer"], part["head"]] = number
    colours = ListedColormap(["0.93", *plots.HEADS.values()])
    with plots.drawn(stem, 1, width=6.4, height=4.2) as (figure, (ax,)):
        ax.imshow(grid, cmap=colours, vmin=0, vmax=len(plots.HEADS), aspect="auto", origin="lower")
        plots.whole_numbers(ax.xaxis)
        ax.set_xlabel("head")
        ax.set_ylabel("layer")
        counts = members["class"].value_counts()
        handles = [Patch(color=colour, label=f"{plots.name(name)} ({counts.get(name, 0)})")
                   for name, colour in plots.HEADS.items()]  # fmt: skip
        ax.legend(handles=handles, frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.02, 1))
        figure.suptitle(f"What each head of the circuit does ({title}; pale: outside)")


def _grid(ax, heads: pd.DataFrame, column: str, title: str, limit: float):
    grid = heads.pivot(index="layer", columns="head", values=column).to_numpy()
    image = plots.heat_map(ax, grid, ylabel="layer", title=title, limit=limit)
    ax.set_xlabel("head")
    return image
