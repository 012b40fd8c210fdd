"""Layer curves language by language, on the same sentences: `replicate languages MODEL`.

Reads the evidence of every language of a model (sentences.csv: how many words of each parallel test sentence the probes
of a layer get right), and needs no model. A resample draws sentences of the parallel treebank, the same in all
languages, so that what is shared content moves all curves together. The control is the random twin, on the same words.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from replications.errors import Refusal
from replications.evidence import stats
from replications.evidence.stats import Array
from replications.files import read_table, write_csv
from replications.report import plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PARALLEL = "pud-"
MEASURED = "measured"
ALL = "all"  # in place of a language: the mean over all pairs
PALETTE = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.RED, plots.PURPLE, plots.SKY, plots.BLACK)
MARKERS = "os^vDP*X"  # one for every seven languages
TITLES = {"pos": "part of speech", "deps": "relation to the head"}
COLUMNS = ["weights", "task", "quantity", "language", "other", "value", "ci_low", "ci_high", "n"]


class Key(NamedTuple):
    """Whose curve it is; `weights` are measured (trained) or control (random)."""

    weights: str
    task: str
    language: str


def compare(folder: Path, stem: Path, *, resamples: int, seed: int) -> pd.DataFrame:
    """Write stem.csv, stem.svg and stem.png from the evidence in a model's folder; returns the table.

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
    write_csv(stem.with_suffix(".csv"), table)
    draw(stem, curves, table, f"{folder.name}, {len(shared)} parallel sentences")
    return table


def read(folder: Path) -> dict[Key, pd.DataFrame]:
    """Words and correct words by layer, [sentence, 1 + layers], of every curve.

    Refuses fewer than two languages, and languages that have no sentence in common.
    """
    found = {}
    for file in sorted(folder.glob("*/sentences.csv")):
        table = read_table(file, ["corpus", "weights", "task", "sentence"], dtype={"sentence": str, "corpus": str})
        table = table[table["corpus"].str.startswith(PARALLEL)]
        for (weights, task), part in table.groupby(["weights", "task"]):
            counted = [column for column in part if column == "words" or column.startswith("layer")]
            found[Key(str(weights), str(task), file.parent.name)] = part.set_index("sentence")[counted]
    if len({key.language for key in found}) < 2:
        raise Refusal(f"{folder} has parallel sentences in fewer than two languages: run two of them first")
    if not set.intersection(*(set(table.index) for table in found.values())):
        raise Refusal(f"{folder}: no sentence was measured in every language; they should be drawn with the same seed")
    return found


def spearman(a: Array, b: Array) -> Array:
    """Spearman's correlation of two curves, draw by draw: [draws, layers] each. 0 where one of them is flat."""
    a, b = (rankdata(x, axis=1) - (x.shape[1] + 1) / 2 for x in (a, b))
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return (a * b).sum(axis=1) / np.where(scale > 0, scale, np.inf)


def draw(stem: Path, curves: dict[Key, Array], table: pd.DataFrame, title: str) -> None:
    """A panel per task, a line per language (random weights dotted), and the agreement of every two languages."""
    tasks = [task for task in TITLES if any(key.task == task for key in curves)]
    languages = sorted({key.language for key in curves})
    looks = {language: (PALETTE[i % len(PALETTE)], MARKERS[i // len(PALETTE)]) for i, language in enumerate(languages)}
    with plots.drawn(stem, 2 * len(tasks), width=7.2 * len(tasks), height=3.8) as (figure, axes):
        for ax, task in zip(axes, tasks, strict=False):
            _draw_curves(ax, {key: draws for key, draws in curves.items() if key.task == task}, looks)
            ax.set_title(TITLES[task])
        axes[0].set_ylabel("accuracy")
        axes[0].legend(frameon=False, fontsize=7, ncols=1 + len(languages) // 8)
        for ax, task in zip(axes[len(tasks) :], tasks, strict=True):
            _draw_agreement(ax, table[(table["task"] == task) & (table["weights"] == MEASURED)], languages)
            ax.set_title(f"{TITLES[task]}: rank correlation of curves")
        figure.suptitle(f"What linear probes read off each layer, by language ({title}; dotted: random weights)")


def _draw_curves(ax: Axes, curves: dict[Key, Array], looks: dict[str, tuple[str, str]]) -> None:
    for (weights, _, language), draws in curves.items():
        trained, (colour, marker) = weights == MEASURED, looks[language]
        ax.plot(draws[0], color=colour, linewidth=1.4 if trained else 0.8, marker=marker if trained else "",
                markersize=3, linestyle="-" if trained else ":", label=language if trained else None)  # fmt: skip
        if trained:
            low, high = np.quantile(draws[1:], [0.025, 0.975], axis=0)
            ax.fill_between(range(len(low)), low, high, color=colour, alpha=0.1, linewidth=0)
    ax.set_xlabel("layer (0 = embeddings)")
    plots.whole_numbers(ax.xaxis)
    ax.set_ylim(0, 1)


def _draw_agreement(ax: Axes, table: pd.DataFrame, languages: list[str]) -> None:
    square = np.eye(len(languages))
    pairs = table[(table["quantity"] == "agreement") & (table["language"] != ALL)]
    for row in pairs.itertuples():
        i, j = languages.index(row.language), languages.index(row.other)
        square[i, j] = square[j, i] = row.value
    ax.imshow(square, vmin=-1, vmax=1, cmap="RdBu_r")
    for i, j in np.ndindex(square.shape):
        ax.text(j, i, f"{square[i, j]:.2f}", ha="center", va="center", fontsize=min(7, 56 / len(languages)),
                color="white" if abs(square[i, j]) > 0.6 else "black")  # fmt: skip
    ax.set_xticks(range(len(languages)), languages, fontsize=7)
    ax.set_yticks(range(len(languages)), languages, fontsize=7)


def _curve(table: pd.DataFrame, weights: Array) -> Array:
    """Draws [1 + resamples, layers] of the accuracy over words."""
    sums = weights @ table.to_numpy(float)
    words = table.columns.get_loc("words")
    return np.delete(sums, words, axis=1) / sums[:, [words]]


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
