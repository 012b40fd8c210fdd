"""The article's two maps, and the averaged curves that say whether they generalise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from replications.report import plots

if TYPE_CHECKING:
    import pandas as pd

    from replications.evidence.run import Run


def draw(run: Run, out: Path, title: str) -> None:
    """Write the article's pair (map, article_heads) and the averages (roles, heads) as SVG and PNG into `out`."""
    what, tables = "Which states carry the indirect object", run.tables
    plots.article_maps(out / "map", tables["article_resid_pre"], f"{what}: the article's pair ({title}, n = 1)")
    plots.role_curves(out / "roles", tables["resid_pre"], f"{what}, by token ({title})")
    draw_heads(out / "article_heads", tables["article_heads"], "the article's pair", title)
    draw_heads(out / "heads", tables["heads"], "means over prompts", title)


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
