"""Layer curves language by language, on the same sentences: `replicate languages MODEL`.

Reads the evidence of every language of a model (sentences.csv: how many words of each parallel test sentence the probes
of a layer get right), and needs no model. A resample draws sentences of the parallel treebank, the same in all
languages, so that what is shared content moves all curves together. The control is the random twin, on the same words.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from replications.errors import Refusal
from replications.evidence import stats
from replications.evidence.run import TABLES, write_tables
from replications.evidence.stats import Array, spearman
from replications.files import read_table

PARALLEL = "pud-"
ALL = "all"  # in place of a language: the mean over all pairs
COLUMNS = ["weights", "task", "quantity", "language", "other", "value", "ci_low", "ci_high", "n"]


class Key(NamedTuple):
    """Whose curve it is; `weights` are measured (trained) or control (random)."""

    weights: str
    task: str
    language: str


def compare(folder: Path, out: Path, *, resamples: int, seed: int) -> pd.DataFrame:
    """Write the tables `comparison` and `curves` into `out` from the evidence in a model's folder; returns the former.

    Quantities: accuracy at layer 0 and of the best layer, its depth, and Spearman's correlation over the layers of the
    curves of two languages (`agreement`), with its mean over all pairs.
    """
    tables = read(folder)
    shared = sorted(set.intersection(*(set(table.index) for table in tables.values())))
    weights = stats.resample_weights(len(shared), resamples=resamples, seed=seed)
    curves = {key: _curve(table.loc[shared], weights) for key, table in tables.items()}
    rows = [*_each(curves, len(shared)), *_pairs(curves, len(shared))]
    table = pd.DataFrame(rows, columns=COLUMNS)
    table = table.sort_values(COLUMNS[:5], ignore_index=True)
    write_tables(out, {"comparison": table, "curves": pd.DataFrame(_by_layer(curves, len(shared)))})
    return table


def read(folder: Path) -> dict[Key, pd.DataFrame]:
    """Words and correct words by layer, [sentence, 1 + layers], of every curve.

    Refuses fewer than two languages, and languages that have no sentence in common.
    """
    found = {}
    for file in sorted(folder.glob(f"*/{TABLES}/sentences.csv")):
        table = read_table(file, ["corpus", "weights", "task", "sentence"], dtype={"sentence": str, "corpus": str})
        table = table[table["corpus"].str.startswith(PARALLEL)]
        for (weights, task), part in table.groupby(["weights", "task"]):
            counted = [column for column in part if column == "words" or column.startswith("layer")]
            found[Key(str(weights), str(task), file.parts[-3])] = part.set_index("sentence")[counted]
    if len({key.language for key in found}) < 2:
        raise Refusal(f"{folder} has parallel sentences in fewer than two languages: run two of them first")
    if not set.intersection(*(set(table.index) for table in found.values())):
        raise Refusal(f"{folder}: no sentence was measured in every language; they should be drawn with the same seed")
    return found


def _curve(table: pd.DataFrame, weights: Array) -> Array:
    """Draws [1 + resamples, layers] of the accuracy over words."""
    sums = weights @ table.to_numpy(float)
    words = table.columns.get_loc("words")
    return np.delete(sums, words, axis=1) / sums[:, [words]]


def _by_layer(curves: dict[Key, Array], n: int) -> Iterator[dict]:
    """Rows weights, task, language, layer: the accuracy and its interval."""
    for key, draws in curves.items():
        for layer, of in enumerate(draws.T):
            yield key._asdict() | {"layer": layer} | stats.interval(of, n)


def _each(curves: dict[Key, Array], n: int) -> Iterator[dict]:
    """Rows about one curve each."""
    for key, draws in curves.items():
        best, depth = draws.max(axis=1), draws.argmax(axis=1) / (draws.shape[1] - 1)
        for name, of in {"layer0_accuracy": draws[:, 0], "best_accuracy": best, "best_depth": depth}.items():
            yield key._asdict() | {"quantity": name, "other": ""} | stats.interval(of, n)


def _pairs(curves: dict[Key, Array], n: int) -> Iterator[dict]:
    """Rows about two curves of one task, and the mean of them all."""
    for weights, task in sorted({key[:2] for key in curves}):
        own = {key.language: draws for key, draws in curves.items() if key[:2] == (weights, task)}
        found = {(a, b): spearman(own[a], own[b]) for a, b in combinations(sorted(own), 2)}
        found[ALL, ALL] = np.mean(list(found.values()), axis=0)
        for (a, b), draws in found.items():
            row = {"weights": weights, "task": task, "quantity": "agreement", "language": a, "other": b}
            yield row | stats.interval(draws, n)
