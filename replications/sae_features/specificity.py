"""How specific a unit is to a class: chosen on training windows, measured on held-out ones (Bricken et al. 2023).

Of every kind of unit (features, neurons, random directions) the one is taken whose activation correlates best with the
class' proxy on training windows; and, as a second choice, with being in the class at all, which the proxy of a token
alone cannot tell where scripts share bytes and languages share words. On held-out windows: that correlation again, the
share of its active tokens that are in the class, the same above half of its largest activation in training, and the
share of the class on which it is active. Everything is a function of sums per window, so that one matrix of weights
resamples it all together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from replications.evidence import stats
from replications.evidence.stats import Array, Mask

ROWS = 256  # at a time, which a cache holds
TINY, ROUNDING = 1e-9, 1e-6
STRONG = 0.5  # of the largest activation
METRICS = ("correlation", "share_active", "share_strong", "recall")


@dataclass(frozen=True)
class Draw:
    """Draws [1 + resamples] of a statistic, NaN where it is undefined; n windows have a say in it."""

    draws: Array
    n: int

    def leaf(self) -> dict:
        """Estimate; without a value where the sample itself has none."""
        if not np.isfinite(self.draws[0]):
            return stats.leaf(None, n=self.n)
        good = self.draws[np.isfinite(self.draws)]
        return stats.interval(good, self.n) if len(good) > 1 else stats.leaf(float(good[0]), n=self.n)

    def __sub__(self, other: Draw) -> Draw:
        """Difference, both resampled together."""
        return Draw(self.draws - other.draws, min(self.n, other.n))


def average(parts: list[Draw]) -> Draw:
    """Mean over classes, of those where it is defined."""
    stacked = np.stack([part.draws for part in parts])
    there = np.isfinite(stacked)
    total, count = np.where(there, stacked, 0).sum(axis=0), there.sum(axis=0)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return Draw(mean, max(part.n for part in parts))


def correlations(a: Float[Tensor, "n u"], y: Float[Tensor, "n c"]) -> Float[Tensor, "u c"]:
    """Pearson correlations of every column with every other's; 0 where one of them never changes."""
    y = y.to(a.dtype)
    y = (y - y.mean(dim=0)) / _spread(y).clamp_min(TINY)
    spread = _spread(a)
    # y sums to 0, up to rounding, so that the mean of a need not be taken off every entry
    found = ((y.T @ a).T - a.mean(dim=0)[:, None] * y.sum(dim=0)) / spread.clamp_min(TINY)[:, None]
    return torch.where(spread[:, None] > TINY, found, 0.0)


def _spread(a: Float[Tensor, "n u"]) -> Float[Tensor, " u"]:
    """Norm of each column less its mean; 0 of a column that never changes, which rounding alone would spread."""
    mean = a.mean(dim=0)
    norm = sum((part - mean).square_().sum(dim=0) for part in a.split(ROWS)).sqrt()
    return torch.where(norm > ROUNDING * len(a) ** 0.5 * mean.abs(), norm, 0.0)


@dataclass(frozen=True)
class Chosen:
    """The units chosen for each class, and what counts as strong of each."""

    unit: list[int]
    strong: list[float]


def choose(a: Float[Tensor, "n u"], target: Float[Tensor, "n c"]) -> Chosen:
    """The unit with the largest correlation for each class, from training windows alone; the first of equals."""
    found = correlations(a, target).cpu().numpy()
    best = [int(np.argmax(column)) for column in found.T]
    return Chosen(best, [STRONG * float(a[:, unit].max()) for unit in best])


def measure(a: Array, target: Array, inside: Array | Mask, strong: float, weights: Array) -> dict[str, Draw]:
    """All METRICS of one unit on held-out windows: activation, what it was chosen to follow, membership [w, t]."""
    return {
        "correlation": pearson(a, target, weights),
        "share_active": share(a > 0, inside, weights),
        "share_strong": share(a > strong, inside, weights),
        "recall": share(inside, a > 0, weights),
    }


def pearson(x: Array, y: Array, weights: Array) -> Draw:
    """Correlation over all tokens of the windows [w, t]; 0 where one of the two never changes."""
    x, y = _standard(x), _standard(y)
    sums = weights @ np.stack([values.mean(axis=1) for values in (x, y, x * x, y * y, x * y)], axis=1)
    mean_x, mean_y, xx, yy, xy = sums.T
    scale = np.sqrt(np.maximum(xx - mean_x**2, 0) * np.maximum(yy - mean_y**2, 0))
    covariance = xy - mean_x * mean_y
    return Draw(np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 1e-12), len(x))


def _standard(x: Array) -> Array:
    centred = x.astype(np.float64) - x.mean(dtype=np.float64)
    return centred / (centred.std() or 1.0)


def share(of: Array | Mask, that: Array | Mask, weights: Array) -> Draw:
    """Share of the tokens in `of` that are also in `that`; undefined where there are none."""
    chosen: Mask = np.asarray(of, dtype=bool)
    both, all_ = (chosen & np.asarray(that, dtype=bool)).sum(axis=1).astype(float), chosen.sum(axis=1).astype(float)
    top, bottom = weights @ both, weights @ all_
    draws = np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)
    return Draw(draws, int((all_ > 0).sum()))
