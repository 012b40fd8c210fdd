"""Neurons whose top activations lie in unrelated contexts, and the features that these activations fall apart into.

Found on training windows: the neuron's strongest activations, one per window, lie in three contexts or more (effective
number, 1 / sum of squared shares). Each of them is given to the feature that adds most to this neuron there
(f_i W_dec[i, neuron]); the features that get an eighth of them or more are those that the neuron is split into. Whether
they are more selective than the neuron is then measured on held-out windows; nothing of the choice looked at that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from replications.dictionaries.sae import Dictionary
from replications.evidence import stats
from replications.evidence.stats import Array
from replications.sae_features.contexts import Answers

POLYSEMANTIC = 3.0  # effective contexts; the article's neuron answers to three words
OWNED = 1 / 8  # of the strongest activations
CHUNK = 32  # neurons at a time


@dataclass(frozen=True)
class Tops:
    """Units with at least `top` windows in which they are active: [unit] and [unit, top] positions and contexts.

    `positions` index the flattened tokens; `contexts` [unit, top] are those of the windows.
    """

    units: Int[Tensor, " m"]
    positions: Int[Tensor, "m top"]
    contexts: Int[Tensor, "m top"]


@dataclass(frozen=True)
class Split:
    """One neuron and its features; shares of the neuron's top positions that each feature owns.

    `meanings` are the contexts in which most of each feature's share lies; `accounted` is how much of the neuron's
    activation the features add where they own it.
    """

    unit: int
    effective: float
    features: tuple[int, ...]
    owned: tuple[float, ...]
    meanings: tuple[int, ...]
    accounted: float


def tops(a: Float[Tensor, "w t u"], context: np.ndarray, top: int) -> Tops:
    """The strongest activations of each unit, at most one of each window."""
    highest, at = a.max(dim=1)
    values, windows = highest.topk(min(top, len(a)), dim=0)
    units = (values[-1] > 0).nonzero()[:, 0]
    windows = windows[:, units]
    positions = windows * a.shape[1] + at[windows, units]
    return Tops(units.cpu(), positions.T.cpu(), torch.as_tensor(context)[windows.T.cpu()])


def effective_contexts(contexts: Int[Tensor, "m top"]) -> Float[Tensor, " m"]:
    """1 / sum of squared shares of the contexts."""
    shares = torch.nn.functional.one_hot(contexts).double().mean(dim=1)
    return 1 / shares.square().sum(dim=1)


def split(found: Tops, f: Float[Tensor, "n h"], x: Float[Tensor, "n d"], one: Dictionary) -> list[Split]:
    """Every polysemantic unit of a basis (first all dimensions with sign +, then with -) and what it is split into.

    A unit on whose top activations no feature is active with the unit's own sign is left out.
    """
    effective, parts = effective_contexts(found.contexts), []
    columns = one.W_dec.T.contiguous()
    for rows in (effective >= POLYSEMANTIC).nonzero()[:, 0].split(CHUNK):
        chosen, at = found.units[rows].to(f.device), found.positions[rows].to(f.device)
        j, sign = chosen % one.d, torch.where(chosen < one.d, 1.0, -1.0)
        adds = sign[:, None, None] * f[at] * columns[j][:, None]
        largest, owner = (each.cpu() for each in adds.max(dim=2))
        activation = (sign[:, None] * x[at, j[:, None]]).cpu()
        for i, row in enumerate(rows.tolist()):
            made = _owners(largest[i], owner[i], found.contexts[row], activation[i])
            if made is not None:
                parts.append(Split(int(chosen[i]), float(effective[row]), *made))
    return parts


def _owners(
    largest: Float[Tensor, " top"], owner: Int[Tensor, " top"], contexts: Int[Tensor, " top"],
    activation: Float[Tensor, " top"],
) -> tuple[tuple[int, ...], tuple[float, ...], tuple[int, ...], float] | None:  # fmt: skip
    features, counts = owner[largest > 0].unique(return_counts=True)
    if not len(features):
        return None
    enough = counts >= min(OWNED * len(owner), int(counts.max()))
    order = counts[enough].argsort(descending=True, stable=True)
    chosen, owned = features[enough][order], counts[enough][order] / len(owner)
    meanings = [int(contexts[(owner == feature) & (largest > 0)].mode().values) for feature in chosen]
    theirs = torch.isin(owner, chosen) & (largest > 0)
    accounted = float(largest[theirs].sum() / activation[theirs].sum())
    return tuple(chosen.tolist()), tuple(owned.tolist()), tuple(meanings), accounted


def gain(part: Split, neurons: Answers, features: Answers) -> float:
    """Mean selectivity of the features less that of the neuron."""
    return float(features.selectivity[list(part.features)].mean() - neurons.selectivity[part.unit])


def summary(parts: list[Split], neurons: Answers, features: Answers, *, resamples: int, seed: int) -> dict[str, dict]:
    """Means over neurons with intervals over them, from held-out answers; `neurons` is how many were split."""
    names = ("neuron_selectivity", "feature_selectivity", "gain", "neuron_contexts", "feature_contexts", "features",
             "coverage", "accounted")  # fmt: skip
    if not parts:
        return {"neurons": stats.leaf(0)} | dict.fromkeys((*names, "distinct"), stats.leaf(None, n=0))
    weights = stats.resample_weights(len(parts), resamples=resamples, seed=seed)
    columns = np.array([_numbers(part, neurons, features) for part in parts]).T
    return {
        "neurons": stats.leaf(len(parts), n=len(parts)),
        "distinct": stats.share([len(set(part.meanings)) > 1 for part in parts]),
    } | {name: stats.mean(column, weights) for name, column in zip(names, columns, strict=True)}


def _numbers(part: Split, neurons: Answers, features: Answers) -> list[float]:
    own = list(part.features)
    return [
        neurons.selectivity[part.unit], features.selectivity[own].mean(), gain(part, neurons, features),
        neurons.concepts[part.unit], features.concepts[own].mean(), len(own), sum(part.owned), part.accounted,
    ]  # fmt: skip


def example(parts: list[Split], neurons: Answers, features: Answers) -> Split | None:
    """The neuron to show: split into three meanings or as many as there are, with the largest gain.

    To be asked with answers of training windows, so that what is then shown of it was not picked for it.
    """
    ranked = sorted(parts, key=lambda part: (-min(3, len(set(part.meanings))), -gain(part, neurons, features)))
    return ranked[0] if ranked else None


def paired(ours: list[Split], theirs: list[Split], gains: tuple[Array, Array], *, resamples: int, seed: int) -> dict:
    """Gain of one dictionary less that of another, neuron by neuron, over those that both split."""
    mine, others = (dict(zip((part.unit for part in parts), each, strict=True))
                    for parts, each in ((ours, gains[0]), (theirs, gains[1])))  # fmt: skip
    both = sorted(mine.keys() & others.keys())
    if not both:
        return stats.leaf(None, n=0)
    weights = stats.resample_weights(len(both), resamples=resamples, seed=seed)
    return stats.mean(np.array([mine[unit] - others[unit] for unit in both]), weights)
