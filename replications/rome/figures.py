"""The article's restoration map, and the averaged curves by token class that say whether it generalises."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from replications.report import plots

if TYPE_CHECKING:
    from replications.evidence.run import Run


def draw(run: Run, out: Path, title: str) -> None:
    """Write map.{svg,png} (the article's pair) and roles.{svg,png} into `out`."""
    what = "Where the city of a landmark is read out"
    plots.article_maps(out / "map", run.tables["article_resid_pre"], f"{what}: the article's pair ({title}, n = 1)")
    plots.role_curves(out / "roles", run.tables["resid_pre"], f"{what}, by token ({title})")
