"""The article's two maps, and the averaged curves that say whether they generalise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from replications.causal.experiment import Result
from replications.causal.tables import article_cells
from replications.ioi.stimuli import Prompt
from replications.report import plots


def article_table(trained: Result, control: Result, prompts: Sequence[Prompt]) -> pd.DataFrame:
    """Tidy frame weights, layer, position, token, restoration of the article's own pair (row 0)."""
    pair = prompts[0]
    return article_cells(trained.cells, control.cells, pair.clean, pair.corrupted, len(pair.clean.ids))


def draw(
    out: Path, article: pd.DataFrame, curves: pd.DataFrame, article_heads: pd.DataFrame, heads: pd.DataFrame, title: str
) -> None:
    """Write the article's pair (map, article_heads) and the averages (roles, heads) as SVG and PNG into `out`."""
    plots.article_maps(
        out / "map", article, f"Which states carry the indirect object: the article's pair ({title}, n = 1)"
    )
    plots.role_curves(out / "roles", curves, f"Which states carry the indirect object, by token ({title})")
    draw_heads(out / "article_heads", article_heads, "the article's pair", title)
    draw_heads(out / "heads", heads, "means over prompts", title)


def draw_heads(stem: Path, heads: pd.DataFrame, of: str, title: str) -> None:
    """Layer x head map of the restoration by head outputs at the last token, beside its control."""
    limit = max(0.05, heads.loc[heads["weights"] == "measured", "restoration"].abs().max())
    with plots.drawn(stem, 2, width=7.5, height=4.2) as (figure, axes):
        for ax, (weights, label) in zip(axes, plots.PANELS.items(), strict=True):
            part = heads[heads["weights"] == weights]
            grid = part.pivot(index="layer", columns="head", values="restoration").to_numpy()
            image = plots.heat_map(ax, grid, ylabel="layer", title=label, limit=limit)
            ax.set_xlabel("head")
        figure.colorbar(image, ax=axes, label="restoration by a head's output at the last token")
        figure.suptitle(f"Which heads carry the indirect object: {of} ({title}, n = {heads['n'].iloc[0]})")
