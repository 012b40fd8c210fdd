"""How many kinds of text a unit answers to, by the measure of `dictionaries.selectivity` with contexts as concepts.

A unit that is seldom active is in few contexts by that alone. So every unit is measured twice: with the contexts of the
windows, and with those contexts dealt to the windows at random, which leaves its activations as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from replications.dictionaries import selectivity
from replications.evidence import stats
from replications.evidence.stats import Array

MIN_ACTIVE = 10  # held-out tokens; of a unit that is active on fewer nothing is said


@dataclass(frozen=True)
class Answers:
    """Per unit [u]: tokens on which it is active, selectivity, effective contexts, selectivity by chance.

    `responses` [u, context] are what the first two are computed from.
    """

    active: Array
    selectivity: Array
    concepts: Array
    by_chance: Array
    responses: Array

    @property
    def living(self) -> NDArray[np.int64]:
        """Indices of units that are active often enough."""
        return np.flatnonzero(self.active >= MIN_ACTIVE)


def answers(a: Float[Tensor, "w t u"], context: np.ndarray, n_contexts: int, seed: int) -> Answers:
    """Of every unit, from its activations on windows that each have a context (index below `n_contexts`)."""
    means = a.mean(dim=1).double().cpu()
    active = sum((window > 0).sum(dim=0) for window in a)
    response = responses(means, context, n_contexts)
    dealt = responses(means, np.random.default_rng(seed).permutation(context), n_contexts)
    return Answers(
        active.cpu().numpy().astype(float), _array(selectivity.selectivity(response)),
        _array(selectivity.concepts(response)), _array(selectivity.selectivity(dealt)), _array(response),
    )  # fmt: skip


def responses(means: Float[Tensor, "w u"], context: np.ndarray, n_contexts: int) -> Float[Tensor, "u c"]:
    """Mean activation in each context less that in all others, from means of windows, which all have as many tokens."""
    present = torch.nn.functional.one_hot(torch.as_tensor(context), n_contexts).bool()
    return selectivity.responses(means, present)


def summary(found: Answers, *, resamples: int, seed: int) -> dict[str, dict]:
    """Means over living units with intervals over them; `over_chance` is unit by unit. None where none lives."""
    some = found.living
    if not len(some):
        return dict.fromkeys(("selectivity", "contexts", "by_chance", "over_chance"), stats.leaf(None, n=0))
    weights = stats.resample_weights(len(some), resamples=resamples, seed=seed)
    return {
        "selectivity": stats.mean(found.selectivity[some], weights),
        "contexts": stats.mean(found.concepts[some], weights),
        "by_chance": stats.mean(found.by_chance[some], weights),
        "over_chance": stats.mean((found.selectivity - found.by_chance)[some], weights),
    }


def _array(values: Tensor) -> Array:
    return values.numpy().astype(np.float64)
