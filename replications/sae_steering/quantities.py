"""From rows to the tree of Estimates: the best strength of each method, chosen on one half of the prompts and measured
on the other, and differences between methods.

Intervals are a bootstrap over prompts and concepts at once (both are resampled, every pair weighs the product).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from replications.evidence import stats
from replications.evidence.stats import Array
from replications.sae_steering.concepts import Concepts
from replications.sae_steering.directions import Directions
from replications.sae_steering.measure import METHODS, NONE

SCORES = ("lexical", "likelihood")
MEASURES = (*SCORES, "log_perplexity", "distinct", "damage")
PAIRS = (("feature", "random"), ("feature", "difference_of_means"), ("feature", "prompt"),
         ("difference_of_means", "feature"), ("prompt", "feature"), ("prompt", "difference_of_means"))  # fmt: skip
Gains = Mapping[str, Mapping[str, Array]]  # method -> measure -> [concepts, strengths, prompts (or sentences)]


@dataclass(frozen=True)
class Limits:
    """How fluent a text should be, against the unsteered one: perplexity at most, distinct pairs of tokens at least."""

    perplexity: float
    distinct: float


@dataclass(frozen=True)
class Best:
    """Gains at the strengths chosen: measure -> [concepts, prompts]; `chosen` [concepts, 2], -1 where none would do."""

    gains: Mapping[str, Array]
    chosen: Array


@dataclass(frozen=True)
class Measured:
    """One set of weights: what steered, every text's scores, gains and the best strengths; `account` for provenance."""

    concepts: Concepts
    directions: Sequence[Directions]
    multiples: Sequence[float]
    rows: pd.DataFrame
    damage: pd.DataFrame
    validity: pd.DataFrame
    gains: dict[str, dict[str, Array]]
    best: dict[str, Best]
    account: dict[str, Any]


def gains(rows: pd.DataFrame, damage: pd.DataFrame, names: Sequence[str]) -> dict[str, dict[str, Array]]:
    """Every measure less that of the unsteered text on the same prompt."""
    base = {name: _grid(rows[rows["method"] == NONE], name, names, "prompt") for name in (*SCORES, "loss", "distinct")}
    found = {}
    for method in METHODS:
        own = rows[rows["method"] == method]
        found[method] = {name: _grid(own, name, names, "prompt") - base[name] for name in (*SCORES, "distinct")}
        found[method]["log_perplexity"] = _grid(own, "loss", names, "prompt") - base["loss"]
        found[method]["damage"] = _grid(damage[damage["method"] == method], "rise", names, "sentence")
    return found


def _grid(rows: pd.DataFrame, column: str, names: Sequence[str], item: str) -> Array:
    """[concepts, strengths, items]."""
    ordered = rows.assign(order=rows["concept"].map(list(names).index)).sort_values(["order", "strength", item])
    return ordered[column].to_numpy(float).reshape(len(names), -1, rows[item].nunique())


def unsteered_distinct(rows: pd.DataFrame) -> float:
    """Mean share of distinct pairs of tokens in unsteered texts."""
    return float(rows.loc[rows["method"] == NONE, "distinct"].mean())


def best(found: Mapping[str, Array], limits: Limits, distinct: float) -> Best:
    """Choose a strength per concept on the even prompts and measure it on the odd ones, then the other way round.

    Of the strengths whose texts are fluent on the choosing half, the one of largest likelihood score; not steering, of
    gain 0, is always among them. `distinct` is the unsteered share that the limit is a part of.
    """
    concepts, _, prompts = found["likelihood"].shape
    sentences = found["damage"].shape[-1]
    kept = {name: np.zeros((concepts, sentences if name == "damage" else prompts)) for name in MEASURES}
    chosen = np.full((concepts, 2), -1)
    for half in (0, 1):
        choosing, measuring = np.arange(half, prompts, 2), np.arange(1 - half, prompts, 2)
        for concept in range(concepts):
            chosen[concept, half] = strength = choose(
                {name: values[concept][:, choosing].mean(-1) for name, values in found.items() if name != "damage"},
                limits, distinct,
            )  # fmt: skip
            if strength >= 0:
                for name in MEASURES[:-1]:
                    kept[name][concept, measuring] = found[name][concept, strength, measuring]
                kept["damage"][concept] += found["damage"][concept, strength] / 2
    return Best(kept, chosen)


def choose(means: Mapping[str, Array], limits: Limits, distinct: float) -> int:
    """Index of the best fluent strength, or -1: better not to steer. `means` are gains [strengths]."""
    fluent = (means["log_perplexity"] <= np.log(limits.perplexity)) & (
        distinct + means["distinct"] >= limits.distinct * distinct
    )
    score = np.where(fluent, means["likelihood"], -np.inf)
    return int(score.argmax()) if score.max() > 0 else -1


def crossed(values: Array, draws: Mapping[str, int]) -> Array:
    """Draws [1 + resamples] of the mean of values [concepts, items], concepts and items resampled together."""
    concepts, items = (stats.resample_weights(n, resamples=draws["resamples"], seed=draws["seed"] + axis)
                       for axis, n in enumerate(values.shape))  # fmt: skip
    return np.einsum("rc,cp,rp->r", concepts, values, items)


def estimate(name: str, values: Array, draws: Mapping[str, int]) -> dict[str, Any]:
    """Mean of gains [concepts, items] with its interval; that of log_perplexity as a ratio of perplexities."""
    found = crossed(values, draws)
    return stats.interval(np.exp(found) if name == "log_perplexity" else found, values.size)


def summary(values: Mapping[str, Array], draws: Mapping[str, int]) -> dict[str, Any]:
    """All measures of one way to steer; `perplexity` is its ratio to that of the unsteered text."""
    return {name.removeprefix("log_"): estimate(name, values[name], draws) for name in MEASURES}


def tree(
    found: Gains, chosen: Mapping[str, Best], names: Sequence[str], multiples: Sequence[float], draws: Mapping[str, int]
) -> dict[str, Any]:
    """`best`, `difference`, `multiples`, `concepts`: see the room's README."""
    return {
        "best": {method: summary(one.gains, draws) for method, one in chosen.items()},
        "difference": {f"{a}_over_{b}": summary(_less(chosen[a].gains, chosen[b].gains), draws) for a, b in PAIRS},
        "multiples": {f"x{multiple:g}": _at(found, index, draws) for index, multiple in enumerate(multiples)},
        "concepts": {name: {method: _of_concept(one, index, draws) for method, one in chosen.items()}
                     for index, name in enumerate(names)},
    }  # fmt: skip


def _at(found: Gains, index: int, draws: Mapping[str, int]) -> dict[str, Any]:
    """Every method that writes, at one multiple; and the feature less the random one."""
    at = {method: {name: values[:, index] for name, values in found[method].items()}
          for method in METHODS if method != "prompt"}  # fmt: skip
    return {method: summary(values, draws) for method, values in at.items()} | {
        "feature_over_random": summary(_less(at["feature"], at["random"]), draws)
    }


def _of_concept(one: Best, concept: int, draws: Mapping[str, int]) -> dict[str, Any]:
    return {name: estimate(name, one.gains[name][concept : concept + 1], draws) for name in SCORES}


def _less(a: Mapping[str, Array], b: Mapping[str, Array]) -> dict[str, Array]:
    return {name: a[name] - b[name] for name in MEASURES}
