"""Statistics of ranks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import mannwhitneyu, rankdata


def auroc(own: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """Area under the ROC curve, [...] of scores [a, ...] of what should score high and [b, ...] of what should not.

    The probability that one of the first scores above one of the second (Mann and Whitney); ties count half. The sum of
    ranks is exact, where scikit-learn's trapezoids round, and all columns are ranked at once.
    """
    own, others = np.asarray(own, dtype=float), np.asarray(others, dtype=float)
    return mannwhitneyu(own, others, method="asymptotic").statistic / (len(own) * len(others))


def spearman(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Spearman's correlation along the last axis, [...] of arrays [..., n] that broadcast; ties share their mean rank.

    0 where one of them is flat, where scipy's has no number and warns. Sums of ranks are exact; all rows go at once.
    """
    left, right = (rankdata(x, axis=-1) - (np.shape(x)[-1] + 1) / 2 for x in (a, b))
    scale = np.sqrt((left**2).sum(axis=-1) * (right**2).sum(axis=-1))
    return (left * right).sum(axis=-1) / np.where(scale > 0, scale, np.inf)
