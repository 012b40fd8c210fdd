"""The article's restoration map, and the averaged curves by token class that say whether it generalises."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from replications.causal.experiment import Result
from replications.causal.tables import article_cells
from replications.report import plots
from replications.rome.stimuli import Pair


def article_table(trained: Result, control: Result, pairs: Sequence[Pair]) -> pd.DataFrame:
    """Tidy frame weights, layer, position, token, restoration of the article's own pair (row 0)."""
    pair = pairs[0]
    return article_cells(trained.cells, control.cells, pair.clean.prompt, pair.corrupted.prompt, pair.aligned)


def draw(out: Path, article: pd.DataFrame, curves: pd.DataFrame, title: str) -> None:
    """Write map.{svg,png} (the article's pair) and roles.{svg,png} into `out`."""
    plots.article_maps(
        out / "map", article, f"Where the city of a landmark is read out: the article's pair ({title}, n = 1)"
    )
    plots.role_curves(out / "roles", curves, f"Where the city of a landmark is read out, by token ({title})")
