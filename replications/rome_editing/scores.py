"""CounterFact's scores of one method on n facts: arrays in, Estimates out.

Meng et al. 2022, section 3.3: ES and PS are shares of prompts with P(o*) > P(o_c), NS of neighbours with P(o_c) >
P(o*), S their harmonic mean; EM, PM and NM the mean differences in that direction. P is the geometric mean over the
object's tokens. All are shares and probabilities between 0 and 1, where the paper prints percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from replications.evidence import stats
from replications.evidence.stats import Array, Mask

SIGNS = {"rewrite": 1.0, "paraphrase": 1.0, "neighbour": -1.0}
SHARES = {"ES": "rewrite", "PS": "paraphrase", "NS": "neighbour"}
SIZES = {"EM": "rewrite", "PM": "paraphrase", "NM": "neighbour"}


def per_fact(answers: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
    """ES, PS, NS, EM, PM, NM of each fact [n], averaged over its prompts; NaN where it has none of a kind."""
    margins = [{kind: SIGNS[kind] * _margin(pairs) for kind, pairs in fact.items()} for fact in answers]
    none = np.array([])
    shares = {name: [_mean(fact.get(kind, none) > 0) for fact in margins] for name, kind in SHARES.items()}
    sizes = {name: [_mean(fact.get(kind, none)) for fact in margins] for name, kind in SIZES.items()}
    return {name: np.array(values) for name, values in (shares | sizes).items()}


def quantities(table: Mapping[str, Array], weights: Array) -> dict[str, Any]:
    """Estimates of ES, PS, NS, S, EM, PM, NM; one that no fact has is left out."""
    draws = {name: _draws(values, weights) for name, values in table.items() if not np.isnan(values).all()}
    n = {name: int((~np.isnan(table[name])).sum()) for name in draws}
    tree = {name: _estimate(values, n[name], bounded=name in SHARES) for name, values in draws.items()}
    if draws.keys() >= SHARES.keys():
        shares = np.stack([draws[name] for name in SHARES])
        harmonic = np.where((shares == 0).any(axis=0), 0.0, 3 / (1 / np.where(shares == 0, 1.0, shares)).sum(axis=0))
        tree["S"] = _interval(harmonic, min(n[name] for name in SHARES))
    return tree


def difference(before: Array, after: Array, weights: Array) -> dict[str, Any] | None:
    """Estimate of the mean of before - after, the same facts in both; None when no fact has the score."""
    if np.isnan(before).all():
        return None
    return _interval(_draws(before - after, weights), int((~np.isnan(before)).sum()))


def _margin(pairs: Any) -> Array:
    """P(o*) - P(o_c) of each prompt."""
    probability = np.exp(np.asarray(pairs, dtype=float))
    return probability[:, 0] - probability[:, 1]


def _mean(values: Array | Mask) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _draws(values: Array, weights: Array) -> Array:
    """Weighted means [1 + resamples] over the facts that have a value; NaN for a resample without any."""
    has = ~np.isnan(values)
    total = weights[:, has].sum(axis=1)
    return (weights[:, has] @ values[has]) / np.where(total > 0, total, np.nan)


def _interval(draws: Array, n: int) -> dict[str, Any]:
    return stats.interval(draws[~np.isnan(draws)], n)


def _estimate(draws: Array, n: int, *, bounded: bool) -> dict[str, Any]:
    """The bootstrap's interval; where all facts agree on 0 or 1 it would have no width, and the exact one is taken."""
    if bounded and np.isclose(draws[0], round(draws[0]), rtol=0, atol=1e-9):  # weights sum to 1 but for rounding
        return stats.share([bool(round(draws[0]))] * n)
    return _interval(draws, n)
