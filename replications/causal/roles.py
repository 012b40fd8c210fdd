"""From patched cells to curves by role: which kind of token carries the answer at which layer.

Prompts differ in length, so a map over columns cannot be averaged; a map over roles (second subject, last token...)
can. A role's curve is the mean restoration over the prompts that have it, 0 for the corrupted run and 1 for the clean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from replications.evidence import stats
from replications.evidence.stats import Array

Columns = Mapping[str, Sequence[Sequence[int]]]  # role -> for every prompt the columns that play it, perhaps none
MIN_PROMPTS = 5  # below this a percentile interval says nothing


@dataclass(frozen=True)
class RestoredStates:
    """Logit differences of n prompts as float64 arrays: unpatched, and with each residual state restored."""

    clean: Array  # [n]
    corrupted: Array  # [n]
    resid_pre: Array  # [layer, column, n]

    @property
    def total_effect(self) -> Array:
        """Clean minus corrupted logit difference, [n]."""
        return self.clean - self.corrupted

    @property
    def n_layers(self) -> int:
        return len(self.resid_pre)

    def prompts(self, index: slice | Sequence[int]) -> RestoredStates:
        """The same cells for some of the prompts."""
        return RestoredStates(self.clean[index], self.corrupted[index], self.resid_pre[..., index])


def role_draws(cells: RestoredStates, columns: Columns, weights: Array) -> dict[str, tuple[Array, int]]:
    """Per role the draws [1 + resamples, layer] of its mean restoration, and its number of prompts.

    A role that fewer than five prompts have is left out.
    """
    effect = cells.resid_pre - cells.corrupted
    curves = {}
    for role, per_prompt in columns.items():
        has = [i for i, cols in enumerate(per_prompt) if cols]
        if len(has) < MIN_PROMPTS:
            continue
        mean_effect = np.stack([effect[:, per_prompt[i], i].mean(axis=1) for i in has], axis=-1)
        # A resample may miss every prompt of a rare role; such a draw says nothing about it.
        kept = weights[:, has][weights[:, has].sum(axis=1) > 0]
        curves[role] = (stats.ratio_of_means(mean_effect, cells.total_effect[has], kept), len(has))
    return curves


def thirds(draws: Array) -> tuple[Array, Array]:
    """Mean of draws [R, layer] over the first and over the last third of the layers, each [R]."""
    third = max(1, draws.shape[1] // 3)
    return draws[:, :third].mean(axis=1), draws[:, -third:].mean(axis=1)


def role_quantities(curves: Mapping[str, tuple[Array, int]]) -> dict[str, Any]:
    """`<role>.early` and `<role>.late`: mean restoration in the first and in the last third of the layers."""
    return {
        role: {when: stats.interval(draws, n) for when, draws in zip(("early", "late"), thirds(draws), strict=True)}
        for role, (draws, n) in curves.items()
    }


def handover(falling: Array, rising: Array, n: int) -> dict[str, Any]:
    """The layer at which one role's curve [R, layer] overtakes another's, and the same as a share of the depth.

    Where the rising curve stays below throughout, the layer is the number of layers: at the output the last token
    is all there is.
    """
    layer = stats.first_crossing(falling, rising)
    return {"layer": stats.interval(layer, n), "depth": stats.interval(layer / falling.shape[1], n)}


def curve_leaves(draws: Array, n: int) -> dict[str, Any]:
    """One Estimate per layer, keyed by the layer's number."""
    return {str(layer): stats.interval(draws[:, layer], n) for layer in range(draws.shape[1])}


def curve_table(curves: Mapping[str, tuple[Array, int]]) -> pd.DataFrame:
    """Tidy frame layer, role, restoration, ci_low, ci_high, n."""
    rows = [
        {"layer": layer, "role": role, **_renamed(stats.interval(draws[:, layer], n))}
        for role, (draws, n) in curves.items()
        for layer in range(draws.shape[1])
    ]
    return pd.DataFrame(rows)


def pair_map(cells: RestoredStates, prompt: int) -> Array:
    """Restoration of one pair, [layer, column]: (patched - corrupted) / (clean - corrupted)."""
    return (cells.resid_pre[..., prompt] - cells.corrupted[prompt]) / cells.total_effect[prompt]


def _renamed(leaf: dict[str, Any]) -> dict[str, Any]:
    return {"restoration": leaf["value"], "ci_low": leaf["ci_low"], "ci_high": leaf["ci_high"], "n": leaf["n"]}
