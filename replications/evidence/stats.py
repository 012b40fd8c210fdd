"""Bootstrap over prompts, the leaves of metrics.json, and statistics of ranks.

What is resampled is a function of averages over prompts, so one matrix of resampling weights serves it all: the same
draw resamples numerator and denominator of a ratio, and both curves of a crossing, together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, mannwhitneyu, rankdata

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
CONFIDENCE = 0.95


def leaf(value: Any, low: float | None = None, high: float | None = None, n: int = 1) -> dict[str, Any]:
    """One Estimate of metrics.json; without an interval it is a single deterministic measurement."""
    return {"value": value, "ci_low": low, "ci_high": high, "n": n}


@lru_cache(maxsize=8)  # one sample is asked about many quantities
def resample_weights(n: int, *, resamples: int, seed: int) -> Array:
    """Weights [1 + resamples, n] of a bootstrap over n prompts; row 0 is the sample itself. Rows sum to 1.

    Read-only, as all who ask for the same get the same.
    """
    if n < 1:
        raise ValueError("cannot resample an empty sample")
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples) / n
    weights = np.concatenate([np.full((1, n), 1 / n), drawn])
    weights.flags.writeable = False
    return weights


def interval(draws: Array, n: int) -> dict[str, Any]:
    """Estimate from a statistic's draws [1 + resamples]: row 0 is the value, percentiles of the rest its interval."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws[1:], [tail, 1 - tail])
    return leaf(float(draws[0]), float(low), float(high), n)


def mean(values: Array, weights: Array) -> dict[str, Any]:
    """Mean of values [n] with its percentile-bootstrap interval."""
    return interval(weights @ np.asarray(values, dtype=float), len(values))


def share(successes: Sequence[bool] | Mask) -> dict[str, Any]:
    """Share of successes with its exact (Clopper-Pearson) interval, which does not collapse at 0 or 1.

    TransformerLens' `success_rate_ci` gives the same; scipy's takes no seconds, neither to import nor for thousands.
    """
    n, k = len(successes), sum(map(bool, successes))
    low, high = binomtest(k, n).proportion_ci(CONFIDENCE, method="exact")
    return leaf(k / n, float(low), float(high), n)


def ratio_of_means(numerator: Array, denominator: Array, weights: Array) -> Array:
    """Draws [1 + resamples, ...] of mean(numerator [..., n]) / mean(denominator [n]), resampled together."""
    shape = numerator.shape[:-1]
    means = weights @ numerator.reshape(-1, numerator.shape[-1]).T
    return (means / (weights @ denominator)[:, None]).reshape(len(weights), *shape)


def first_crossing(falling: Array, rising: Array) -> Array:
    """First index along the last axis at which `rising` exceeds `falling`; the axis' length where it never does."""
    above = rising > falling
    return np.where(above.any(axis=-1), above.argmax(axis=-1), above.shape[-1]).astype(float)


def auroc(own: ArrayLike, others: ArrayLike) -> Array:
    """Area under the ROC curve, [...] of scores [a, ...] of what should score high and [b, ...] of what should not.

    The probability that one of the first scores above one of the second (Mann and Whitney); ties count half. The sum of
    ranks is exact, where scikit-learn's trapezoids round, and all columns are ranked at once.
    """
    own, others = np.asarray(own, dtype=float), np.asarray(others, dtype=float)
    return mannwhitneyu(own, others, method="asymptotic").statistic / (len(own) * len(others))


def spearman(a: ArrayLike, b: ArrayLike) -> Array:
    """Spearman's correlation along the last axis, [...] of arrays [..., n] that broadcast; ties share their mean rank.

    0 where one of them is flat, where scipy's has no number and warns. Sums of ranks are exact; all rows go at once.
    """
    left, right = (rankdata(x, axis=-1) - (np.shape(x)[-1] + 1) / 2 for x in (a, b))
    scale = np.sqrt((left**2).sum(axis=-1) * (right**2).sum(axis=-1))
    return (left * right).sum(axis=-1) / np.where(scale > 0, scale, np.inf)
