"""Statistics of ranks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import mannwhitneyu


def auroc(own: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """Area under the ROC curve, [...] of scores [a, ...] of what should score high and [b, ...] of what should not.

    The probability that one of the first scores above one of the second (Mann and Whitney); ties count half. The sum of
    ranks is exact, where scikit-learn's trapezoids round, and all columns are ranked at once.
    """
    own, others = np.asarray(own, dtype=float), np.asarray(others, dtype=float)
    return mannwhitneyu(own, others, method="asymptotic").statistic / (len(own) * len(others))
