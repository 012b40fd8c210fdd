"""Does causal tracing say which layer to edit? Rewrite scores by layer against tracing effects, by regression.

Hase et al. 2023, section 4: R² of the rewrite score on the layer (dummies), on the tracing effect, and on both; the
variance that tracing adds to the layer; the correlation over facts at each layer.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from replications.errors import Refusal
from replications.evidence import stats
from replications.evidence.stats import Array

TRACE_KIND = "mlp"
SHUFFLES = 200


def rewrite_score(before: Array, after: Array) -> Array:
    """Share of the possible increase of P(o*) that an edit brought: (after - before) / (1 - before)."""
    return (after - before) / (1 - before)


def read_traces(file: Path) -> dict[str, dict[int, float]]:
    """Fact -> layer -> share of the total effect that restoring the MLPs around the layer brings back.

    At the last subject token; from rome_tracing's facts.csv. Facts whose noise did no harm are left out. Refuses a
    missing file and one without these columns.
    """
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = [row for row in csv.DictReader(lines) if row["kind"] == TRACE_KIND]
            found: dict[str, dict[int, float]] = defaultdict(dict)
            for row in rows:
                if float(row["total_effect"]) > 0:
                    found[row["fact"]][int(row["layer"])] = float(row["effect"]) / float(row["total_effect"])
    except FileNotFoundError:
        raise Refusal(f"{file} does not exist: run `replicate run rome_tracing` on this model first") from None
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise Refusal(f"{file} should have the columns fact, layer, kind, effect, total_effect ({error!r})") from None
    return dict(found)


def at_layers(traces: Mapping[str, Mapping[int, float]], facts: Sequence[str], layers: Sequence[int]) -> Array:
    """Tracing effects [fact, layer]; where windows were not centred at every layer, those of the nearest centre."""
    return np.array([[by_layer[min(by_layer, key=lambda c: (abs(c - layer), c))] for layer in layers]
                     for by_layer in (traces[fact] for fact in facts)])  # fmt: skip


def fits(rewrite: Array, tracing: Array) -> tuple[float, float, float]:
    """R² of the rewrite score [fact, layer] on the layer, on tracing, and on both; NaN where nothing varies."""
    import statsmodels.api as sm  # seconds

    y, x = rewrite.ravel(), tracing.ravel()
    if np.ptp(y) == 0:
        return float("nan"), float("nan"), float("nan")
    layer = np.tile(np.eye(rewrite.shape[1]), (len(rewrite), 1))
    designs = (layer, sm.add_constant(x, has_constant="add"), np.column_stack([layer, x]))
    on_layer, on_tracing, on_both = (float(sm.OLS(y, design).fit().rsquared) for design in designs)
    return on_layer, on_tracing, on_both


def correlations(rewrite: Array, tracing: Array) -> Array:
    """Pearson's r over facts at each layer [layer]; NaN where either does not vary."""
    a, b = rewrite - rewrite.mean(axis=0), tracing - tracing.mean(axis=0)
    size = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return np.divide((a * b).sum(axis=0), size, out=np.full(len(size), np.nan), where=size > 1e-12)


def quantities(
    rewrite: Array, tracing: Array, layers: Sequence[int], default: int, resamples: int, seed: int
) -> dict[str, Any]:
    """The tree of Estimates; intervals by bootstrap over facts, each with all its layers."""
    n, rng = len(rewrite), np.random.default_rng(seed)
    draws = [np.arange(n), *rng.integers(n, size=(resamples, n))]
    r2 = np.array([fits(rewrite[d], tracing[d]) for d in draws])
    rho = np.array([correlations(rewrite[d], tracing[d]) for d in draws])
    mean = np.array([rewrite[d].mean(axis=0) for d in draws])
    at = list(layers).index(default)
    others = mean[:, : len(layers) - 1] if len(layers) > 1 else mean
    return {
        "r2": {name: _interval(r2[:, i], n) for i, name in enumerate(("layer", "tracing", "both"))},
        "added_r2": _interval(r2[:, 2] - r2[:, 0], n),
        "added_r2_by_chance": _by_chance(rewrite, tracing, rng),
        "rewrite": {str(layer): stats.interval(mean[:, i], n) for i, layer in enumerate(layers)},
        "rewrite_at_default": stats.interval(mean[:, at], n),
        "rewrite_lowest_but_last": stats.interval(others.min(axis=1), n),
        "rewrite_last": stats.interval(mean[:, -1], n),
        "rho": {str(layer): _interval(rho[:, i], n) for i, layer in enumerate(layers)},
        "rho_at_default": _interval(rho[:, at], n),
    }


def _by_chance(rewrite: Array, tracing: Array, rng: np.random.Generator) -> dict[str, Any]:
    """What tracing adds when each layer's effects are dealt to the facts at random: one more regressor fits noise."""
    dealt = [fits(rewrite, rng.permuted(tracing, axis=0)) for _ in range(SHUFFLES)]
    added = np.array([both - layer for layer, _, both in dealt])
    return _interval(np.concatenate([[added.mean()], added]), len(rewrite))


def _interval(draws: Array, n: int) -> dict[str, Any]:
    """As `stats.interval`, without the resamples that have no value; without any there is none."""
    if np.isnan(draws[0]):
        return stats.leaf(None, n=n)
    return stats.interval(draws[~np.isnan(draws)], n)
