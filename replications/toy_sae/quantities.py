"""Grid of dictionaries -> the tree of Estimates. Intervals of an MMCS are over the true features (or over rows)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from replications.evidence import stats
from replications.evidence.stats import Array
from replications.toy_sae.recovery import RECOVERED

Cell = tuple[int, int]  # size of the dictionary, index of alpha
Fits = Mapping[int, Mapping[str, Array]]


def key(ratio: float) -> str:
    """A ratio or an alpha as one part of a path: 0.5 is 0_5."""
    return f"{ratio:.3g}".replace(".", "_")


def best_cell(cosines: Mapping[int, Array]) -> Cell:
    """Cell with the largest mean cosine; `cosines` [m, ...] by size. The first of equals."""
    means = {(h, i): float(row.mean()) for h, rows in cosines.items() for i, row in enumerate(rows)}
    return max(means, key=means.__getitem__)


def recovery(cosine: Array, draws: Mapping[str, int]) -> dict[str, Any]:
    """MMCS to the truth and the share of true features that are recovered, from cosines [G]."""
    weights = stats.resample_weights(len(cosine), **draws)
    return {"mmcs": stats.mean(cosine, weights), "recovered": stats.share((cosine >= RECOVERED).tolist())}


def cell(at: Cell, cosines: Mapping[int, Array], fits: Fits, alphas: Sequence[float], n_true: int,
         draws: Mapping[str, int]) -> dict[str, Any]:  # fmt: skip
    """All that is said of one dictionary."""
    h, i = at
    fit = fits[h]
    return recovery(cosines[h][i], draws) | {
        "alpha": stats.leaf(alphas[i]), "ratio": stats.leaf(h / n_true),
        "l0": stats.leaf(float(fit["l0"][i])), "fvu": stats.leaf(float(fit["fvu"][i])),
        "dead": stats.leaf(int(fit["dead"][i]), n=h), "dead_share": stats.leaf(float(fit["dead"][i]) / h, n=h),
    }  # fmt: skip


def of_grid(
    cosines: Mapping[int, Array], larger: Mapping[int, Array], fits: Fits, alphas: Sequence[float], n_true: int,
    draws: Mapping[str, int],
) -> dict[str, Any]:  # fmt: skip
    """`best` knows the truth, `chosen` is the cell that agrees most with the next larger dictionary and does not.

    `by_ratio` is the best of each size, `by_alpha` the best of each coefficient. `inferred` is how many rows of the
    chosen dictionary come back in the next larger one: a guess at how many true features there are.
    """
    arguments = (cosines, fits, alphas, n_true, draws)
    chosen = best_cell(larger)
    matched = larger[chosen[0]][chosen[1]]
    by_alpha = {key(alpha): _best_size(cosines, i) for i, alpha in enumerate(alphas)}
    return {
        "best": cell(best_cell(cosines), *arguments),
        "chosen": cell(chosen, *arguments) | {"larger": _mean(matched, draws)},
        "by_ratio": {key(h / n_true): cell(best_cell({h: cosines[h]}), *arguments) for h in cosines},
        "by_alpha": {name: cell((h, i), *arguments) for i, (name, h) in enumerate(by_alpha.items())},
        "inferred": {"features": stats.leaf(int((matched >= RECOVERED).sum()), n=len(matched))},
    }


def _best_size(cosines: Mapping[int, Array], coefficient: int | None = None) -> int:
    """The size whose cosines are the largest on average, of one coefficient if that is named."""
    means = {h: (of if coefficient is None else of[coefficient]).mean() for h, of in cosines.items()}
    return max(means, key=lambda h: means[h])


def of_controls(found: Mapping[str, Mapping[int, Array]], draws: Mapping[str, int]) -> dict[str, Any]:
    """MMCS of each control at its best size; `best` is the best control of all."""
    tree = {}
    for name, cosines in found.items():
        size = _best_size(cosines)
        tree[name] = recovery(cosines[size], draws) | {"rows": stats.leaf(size)}
    winner = max(tree, key=lambda name: tree[name]["mmcs"]["value"])
    return tree | {"best": tree[winner]}


def recovery_table(cosines: Mapping[int, Array], controls: Mapping[str, Mapping[int, Array]]) -> list[dict[str, Any]]:
    """directions (autoencoder or a control), units, feature, cosine: the largest with each true feature, of the best
    dictionary and of the controls of its size."""
    h, i = best_cell(cosines)
    found = {"autoencoder": cosines[h][i]} | {name: by_size[h] for name, by_size in controls.items()}
    return [
        {"directions": name, "units": h, "feature": feature, "cosine": cosine}
        for name, row in found.items()
        for feature, cosine in enumerate(row.tolist())
    ]


def of_data(counts: Array, empty: int, draws: Mapping[str, int]) -> dict[str, Any]:
    """Active true features per input, and how many inputs have none."""
    weights = stats.resample_weights(len(counts), **draws)
    return {"active": stats.mean(counts, weights), "empty": stats.leaf(empty, n=len(counts))}


def _mean(values: Array, draws: Mapping[str, int]) -> dict[str, Any]:
    return stats.mean(values, stats.resample_weights(len(values), **draws))


def table(
    cosines: Mapping[int, Array], larger: Mapping[int, Array], fits: Fits, alphas: Sequence[float], n_true: int,
    data: str,
) -> list[dict[str, Any]]:  # fmt: skip
    """One row per dictionary."""
    return [
        {
            "data": data, "ratio": h / n_true, "size": h, "alpha": alpha,
            "mmcs": float(cosines[h][i].mean()), "recovered": float(np.mean(cosines[h][i] >= RECOVERED)),
            "mmcs_larger": float(larger[h][i].mean()) if h in larger else None,
            "dead": int(fits[h]["dead"][i]), "l0": float(fits[h]["l0"][i]), "fvu": float(fits[h]["fvu"][i]),
        }
        for h in cosines
        for i, alpha in enumerate(alphas)
    ]  # fmt: skip
