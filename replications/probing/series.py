"""Where along the layers a score is gained, and where mixing weights lie (Tenney, Das & Pavlick 2019, section 3).

Arrays [..., L+1] over layers 0..L in, arrays [...] out; the leading axes may be draws of a bootstrap. Nothing over
nothing is NaN. The ratios are formulas: whether a total gain is large enough to divide by is for the caller to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]
Counts = TypeVar("Counts", NDArray[np.float64], "Tensor")


def f1(counts: Counts) -> Counts:
    """Micro-averaged F1 in percent of [3, ...] true positives, false positives, false negatives, arrays or tensors.

    0 where there is nothing to find or to say.
    """
    hits, extra, missed = counts
    whole = 2 * hits + extra + missed
    return 200 * hits / (whole + (whole == 0))


def gains(scores: ArrayLike) -> Floats:
    """Differential scores Delta(1..L) of cumulative scores at layers 0..L: [..., L]."""
    return np.diff(np.asarray(scores, dtype=float), axis=-1)


def expected_layer(scores: ArrayLike) -> Floats:
    """E_Delta, the mean layer weighted by gains, losses counted as they are (equation 4); layers."""
    delta = gains(scores)
    return _over((delta * np.arange(1, delta.shape[-1] + 1)).sum(-1), delta.sum(-1))


def gain_bits(scores: ArrayLike) -> Floats:
    """K(Delta), KL divergence of the positive gains over layers 1..L from uniform; bits."""
    return _bits_from_uniform(gains(scores).clip(min=0))


def center_of_gravity(weights: ArrayLike) -> Floats:
    """E_s, the mean layer weighted by scalar-mix weights at layers 0..L (equation 2); layers."""
    weights = np.asarray(weights, dtype=float)
    return _over((weights * np.arange(weights.shape[-1])).sum(-1), weights.sum(-1))


def mix_bits(weights: ArrayLike) -> Floats:
    """K(s), KL divergence of scalar-mix weights over layers 0..L from uniform; bits."""
    return _bits_from_uniform(np.asarray(weights, dtype=float))


def share_of_gain(scores: ArrayLike, end: float) -> Floats:
    """Share of the total gain that is made at layers up to `end` (a share of the depth).

    Between two layers the score is taken to rise evenly, so that a third of the depth means the same in any model.
    """
    scores = np.asarray(scores, dtype=float)
    place = end * (scores.shape[-1] - 1)
    low = min(int(place), scores.shape[-1] - 2)
    there = scores[..., low] + (place - low) * (scores[..., low + 1] - scores[..., low])
    return _over(there - scores[..., 0], scores[..., -1] - scores[..., 0])


def _bits_from_uniform(weights: Floats) -> Floats:
    share = _over(weights, weights.sum(-1, keepdims=True))
    return (share * np.log2(np.where(share > 0, share * weights.shape[-1], 1))).sum(-1)


def _over(numerator: Floats, denominator: Floats) -> Floats:
    return np.where(denominator != 0, numerator / np.where(denominator != 0, denominator, 1), np.nan)
