"""What is measured of a dictionary. Pure: tensors in, numbers per window or per feature out.

Names and definitions differ between papers; these are (symbols: x activation, x' reconstruction, f features):

* L0                   mean number of active features of a token
* FVU                  sum |x - x'|² / sum |x - mean x|²; variance explained is 1 - FVU (SAEBench)
* normalised MSE       sum |x - x'|² / sum |x|²: as in Gao et al.'s released code, no mean is taken off
* loss recovered       (H0 - H*) / (H0 - H), where H is the model's loss, H* with x' in place of x, and H0 with the
                       activation set to zero (Bricken et al. 2023) or to its mean
* density              share of tokens on which a feature is active
* MMCS                 mean over features of the largest cosine with any feature of another dictionary (Sharkey et al.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from replications.dictionaries.sae import Dictionary
from replications.evidence import stats
from replications.evidence.stats import Array

# Tokens without an activation after which a feature counts as dead, by whose definition it is.
DEAD_WINDOWS = {"dictionary_learning": 8192, "templeton": 10**7, "gao": 10**7, "bricken": 10**8}
TOGETHER = 4  # windows whose features are held together
ULTRA_LOW = 1e-6  # density (Bricken et al. 2023)


@dataclass(frozen=True)
class Fit:
    """One dictionary on held-out windows: sums per window [w], and how often each feature was active [h]."""

    active: Array
    error: Array
    power: Array
    variance: Array
    fired: Array
    tokens: int

    @property
    def per_window(self) -> int:
        """Tokens of a window."""
        return self.tokens // len(self.error)


@torch.no_grad()
def fit(dictionary: Dictionary, x: Float[Tensor, "w t d"], mean: Float[Tensor, " d"]) -> Fit:
    """Encode and decode every window; `mean` is that of all held-out activations."""
    sums: dict[str, list[float]] = {"active": [], "error": [], "power": [], "variance": []}
    fired = torch.zeros(dictionary.h, device=x.device)
    for part in x.split(TOGETHER):
        f = dictionary.encode(part.flatten(0, 1))
        on = (f > 0).view(*part.shape[:2], -1)
        fired += on.sum(dim=(0, 1))
        error = part - dictionary.decode(f).view_as(part)
        for name, value in (("active", on), ("error", error.square_()), ("power", part.square()),
                            ("variance", (part - mean).square_())):  # fmt: skip
            sums[name] += value.sum(dim=(1, 2)).tolist()
    arrays = {name: np.array(values, dtype=np.float64) for name, values in sums.items()}
    return Fit(**arrays, fired=fired.cpu().numpy().astype(np.float64), tokens=x.shape[0] * x.shape[1])


def quality(fits: list[Fit], weights: Array) -> dict[str, dict]:
    """L0, FVU, variance explained, normalised MSE: means over seeds, intervals over windows (`weights` [1 + r, w])."""
    n = len(fits[0].error)

    def averaged(draws: list[Array]) -> dict:
        return stats.interval(np.mean(draws, axis=0), n)

    fvu = [stats.ratio_of_means(one.error, one.variance, weights) for one in fits]
    return {
        "l0": averaged([weights @ (one.active / one.per_window) for one in fits]),
        "fvu": averaged(fvu),
        "variance_explained": averaged([1 - draws for draws in fvu]),
        "nmse": averaged([stats.ratio_of_means(one.error, one.power, weights) for one in fits]),
    }


def recovered(clean: Array, replaced: Array, ablated: Array, weights: Array) -> dict:
    """Loss recovered from losses per window [w], all three resampled together."""
    return stats.interval(stats.ratio_of_means(ablated - replaced, ablated - clean, weights), len(clean))


def density(fired: Array, tokens: int) -> dict[str, dict]:
    """Median of log10 density over living features, shares of ultra-low ones and of those from 1e-6 to 1e-3.

    A density below one in `tokens` reads 0, so that the ultra-low share is an upper bound, as is that of the dead.
    """
    share = fired / tokens
    living = share[share > 0]
    return {
        "median_log10": stats.leaf(float(np.median(np.log10(living))) if len(living) else None, n=len(living)),
        "ultra_low": stats.share((share < ULTRA_LOW).tolist()),
        "sparse": stats.share(((share >= ULTRA_LOW) & (share <= 1e-3)).tolist()),
        "dense": stats.share((share > 0.1).tolist()),
    }


def histogram(fired: Array, tokens: int, edges: Array) -> Array:
    """Features by log10 density between the edges; those never active are in none."""
    share = fired / tokens
    return np.histogram(np.log10(share[share > 0]), edges)[0]


def dead(since_fired: Int[Tensor, "m h"], watched: int) -> dict[str, dict]:
    """Share of features without an activation in the last tokens of training, by each paper's window.

    A window longer than the `watched` tokens is cut to them: the share is then an upper bound. `<name>_window` is what
    it was cut to.
    """
    found = {}
    for name, window in DEAD_WINDOWS.items():
        cut = min(window, watched)
        found[name] = stats.share((since_fired >= cut).flatten().tolist())
        found[f"{name}_window"] = stats.leaf(cut)
    return found


def alive(fires: Float[Tensor, "n h"] | Array) -> dict:
    """Share of features active at least once (dictionary_learning: on 8,192 tokens)."""
    return stats.share((np.asarray(fires) > 0).tolist())


def max_cosine(a: Float[Tensor, "h d"], b: Float[Tensor, "g d"]) -> Array:
    """For each feature of `a` the largest cosine with a feature of `b`."""
    a, b = (rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-12) for rows in (a, b))
    return (a @ b.T).amax(dim=1).cpu().numpy().astype(np.float64)


def mmcs(a: Float[Tensor, "h d"], b: Float[Tensor, "g d"], *, resamples: int, seed: int) -> dict:
    """Mean max cosine similarity, with an interval over the features of `a`."""
    values = max_cosine(a, b)
    return stats.mean(values, stats.resample_weights(len(values), resamples=resamples, seed=seed))


def paired_mmcs(rows: Mapping[int, Tensor], *, resamples: int, seed: int) -> dict | None:
    """MMCS of the first seed's features with the second's and the reverse, together; None without two seeds."""
    if len(rows) < 2:
        return None
    a, b = list(rows.values())[:2]
    values = np.concatenate([max_cosine(a, b), max_cosine(b, a)])
    return stats.mean(values, stats.resample_weights(len(values), resamples=resamples, seed=seed))
