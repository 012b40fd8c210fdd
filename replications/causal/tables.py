"""Tidy frames that both patching rooms write."""

from __future__ import annotations

import numpy as np
import pandas as pd

from replications.causal.roles import RestoredStates, pair_map
from replications.stimuli.spans import Encoded


def token_label(encoded: Encoded, position: int) -> str:
    """What a reader should see for a token: its characters, or BOS for one that the text does not contain."""
    start, end = encoded.spans[position]
    return encoded.text[start:end].strip() or "BOS"


def pair_labels(clean: Encoded, corrupted: Encoded) -> list[str]:
    """Labels of a pair aligned at its last token: one where the tokens agree, clean over corrupted where not."""
    width = max(len(clean.ids), len(corrupted.ids))
    sides = [["–"] * (width - len(e.ids)) + [token_label(e, i) for i in range(len(e.ids))] for e in (clean, corrupted)]
    return [a if a == b else f"{a} / {b}" for a, b in zip(*sides, strict=True)]


def article_cells(
    trained: RestoredStates, control: RestoredStates, clean: Encoded, corrupted: Encoded, aligned: int
) -> pd.DataFrame:
    """Restoration of pair 0 at every layer and position, for the trained weights and for the random twin.

    Columns weights (measured, control), layer, position, token, restoration; empty where nothing corresponds.
    """
    labels = pair_labels(clean, corrupted)
    rows = []
    for weights, cells in (("measured", trained), ("control", control)):
        grid = pair_map(cells, 0)[:, -len(labels) :]
        grid[:, : len(labels) - aligned] = np.nan
        rows += [
            {"weights": weights, "layer": layer, "position": position, "token": label, "restoration": row[position]}
            for layer, row in enumerate(grid)
            for position, label in enumerate(labels)
        ]
    return pd.DataFrame(rows)
