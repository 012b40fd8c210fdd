"""From right and wrong answers to the tree of Estimates: one bootstrap over test sentences and seeds for all of them.

Accuracies are over words, intervals over sentences (words of a sentence are not independent), and every difference
between layers, tasks and controls is taken within a draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from replications.evidence import stats
from replications.evidence.stats import Array
from replications.probing import series

Branch = dict[str, Any]


@dataclass(frozen=True)
class Resampling:
    """Weights of a bootstrap over groups of words (sentences or types) and over seeds; row 0 is the sample itself."""

    group: NDArray[np.int64]  # [n] which group a word is of, from 0
    groups: Array  # [1 + resamples, groups]
    seeds: Array  # [1 + resamples, seeds]

    @property
    def n(self) -> int:
        """How many words."""
        return len(self.group)

    def means(self, values: ArrayLike, only: NDArray[np.bool_] | None = None) -> Array:
        """Draws [1 + resamples, L] of the mean over words (those of `only`) and seeds of values [L, seeds, n]."""
        values = np.asarray(values, dtype=float)
        counted = np.ones(self.n) if only is None else only.astype(float)
        membership = (self.group[:, None] == np.arange(self.groups.shape[1])) * counted[:, None]
        sums = (values.reshape(-1, self.n) @ membership).reshape(*values.shape[:2], -1)
        totals = self.groups @ membership.sum(axis=0)
        means = np.einsum("rg,lsg->rls", self.groups, sums) / np.where(totals > 0, totals, np.nan)[:, None, None]
        return np.einsum("rls,rs->rl", means, self.seeds if values.shape[1] > 1 else np.ones((len(means), 1)))


def resampling(group: ArrayLike, seeds: int, *, resamples: int, seed: int) -> Resampling:
    """A bootstrap for words of these groups and so many seeds."""
    _, group = np.unique(group, return_inverse=True)
    return Resampling(
        group,
        stats.resample_weights(int(group.max()) + 1, resamples=resamples, seed=seed),
        stats.resample_weights(seeds, resamples=resamples, seed=seed + 1),
    )


def by_layer(draws: Array, n: int, first: int = 0) -> Branch:
    """{layer: Estimate} of draws [1 + resamples, layers]."""
    return {str(first + layer): stats.interval(draws[:, layer], n) for layer in range(draws.shape[1])}


def curve(accuracy: Array, n: int) -> Branch:
    """What a series of probes says: accuracy and marginal gain by layer, the best layer, and where the gain is made.

    The gain of a layer is what it adds to the best layer before it; `gain_depth` is the mean depth of these gains, as a
    share of the layers, `first_half` the share of them that is made in the first half.
    """
    layers = accuracy.shape[1] - 1
    best = np.maximum.accumulate(accuracy, axis=1)
    depth = accuracy.argmax(axis=1) / layers
    return {
        "accuracy": by_layer(accuracy, n),
        "gain": by_layer(series.gains(accuracy), n, first=1),
        "best": {"accuracy": stats.interval(best[:, -1], n), "depth": stats.interval(depth, n),
                 "layer": stats.interval(accuracy.argmax(axis=1).astype(float), n)},
        "layer0": {"accuracy": stats.interval(accuracy[:, 0], n),
                   "share_of_best": stats.interval(accuracy[:, 0] / best[:, -1], n),
                   "gain_over": stats.interval(best[:, -1] - accuracy[:, 0], n)},
        **where_gained(best, n),
    }  # fmt: skip


def where_gained(best: Array, n: int) -> Branch:
    """Depth of the mean gain and share of it in the first half and third; nothing where nothing is gained."""
    layers = best.shape[1] - 1
    if best[0, -1] <= best[0, 0]:
        return {}
    gained = best[best[:, -1] > best[:, 0]]  # a resample without gain has no place of gain
    shares = {"first_half": 1 / 2, "first_third": 1 / 3}
    return {"gain_depth": stats.interval(series.expected_layer(gained) / layers, n)} | {
        name: stats.interval(series.share_of_gain(gained, end), n) for name, end in shares.items()
    }


def selectivity(accuracy: Array, control: Array, n: int) -> Branch:
    """Task minus control task by layer, at the layer of the best accuracy, and the layer where it is largest."""
    difference = accuracy - control
    layers, rows = accuracy.shape[1] - 1, np.arange(len(accuracy))
    best, chosen = difference.argmax(axis=1), accuracy.argmax(axis=1)
    middle = layers // 2
    return {
        "by_layer": by_layer(difference, n),
        "control_accuracy": by_layer(control, n),
        "at_best_accuracy": {
            "accuracy": stats.interval(accuracy[rows, chosen], n),
            "control_accuracy": stats.interval(control[rows, chosen], n),
            "selectivity": stats.interval(difference[rows, chosen], n),
        },
        "layer0": stats.interval(difference[:, 0], n),
        "middle": stats.interval(difference[:, middle], n),
        "top": stats.interval(difference[:, -1], n),
        "best": {"depth": stats.interval(best / layers, n), "layer": stats.interval(best.astype(float), n)},
        "above_best_accuracy": stats.interval((best - chosen) / layers, n),
    }


def description_length(bits: Array, control: Array, n_classes: int, n: int) -> Branch:
    """Bits per word of task and control task by layer, from draws; compression is the uniform code over the task's."""
    uniform = float(np.log2(n_classes))
    rows, shortest = np.arange(len(bits)), bits.argmin(axis=1)
    return {
        "bits": by_layer(bits, n),
        "control_bits": by_layer(control, n),
        "uniform_bits": stats.leaf(uniform, n=n),
        "best": {"bits": stats.interval(bits[rows, shortest], n), "compression": stats.interval(
            uniform / bits[rows, shortest], n), "depth": stats.interval(shortest / (bits.shape[1] - 1), n)},
        "control_minus_task": stats.interval(control[rows, shortest] - bits[rows, shortest], n),
    }  # fmt: skip


def table(draws: Mapping[str, Array], n: int) -> pd.DataFrame:
    """Tidy frame series, layer, value, ci_low, ci_high, n of draws [1 + resamples, layers] by name."""
    frames = []
    for name, some in draws.items():
        low, high = np.quantile(some[1:], [0.025, 0.975], axis=0)
        frames.append(pd.DataFrame({"series": name, "layer": range(some.shape[1]), "value": some[0], "ci_low": low,
                                    "ci_high": high, "n": n}))  # fmt: skip
    return pd.concat(frames, ignore_index=True)
