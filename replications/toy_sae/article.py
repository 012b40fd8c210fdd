"""The article's neuron, made: it answers to "dog", "linen" and "inference", and a dictionary takes it apart.

Trott 2024 tells of a neuron that answers to three unrelated words. Here such a neuron is planted: of the true
features of a small toy three have a large part along the first coordinate of the activations, all others none. That
coordinate, read through a ReLU, is the neuron. A dictionary that is trained on the activations knows nothing of it.
Several such toys are made, since a dictionary may or may not tell three features apart that lie close to each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from replications.dictionaries import selectivity
from replications.dictionaries.seeds import generator
from replications.evidence import stats
from replications.evidence.stats import Array
from replications.toy_sae import recovery
from replications.toy_sae.ground_truth import GroundTruth, codes, make_truth
from replications.toy_sae.training import Recipe, train

WORDS = ("dog", "linen", "inference")
NEURON = 0
PART = 0.5  # cosine of each of the three with the neuron: large enough to be its strongest, far from being it
D, G, H = 64, 128, 128  # width, true features, size of the dictionary
ALPHA = 0.2  # l1 = 0.1 per input
OBSERVED = 8192  # inputs on which responses are measured
UNITS = ("neuron", *WORDS)


@dataclass(frozen=True)
class Toy:
    """One toy: responses to every concept [G] of the neuron and of what stands for each word, by kind of unit.

    `features` and `random` are [3, G]: of the dictionary, and of as many random directions. `answers` tells for which
    words some feature of the dictionary has that word as its strongest concept; `cosine` [3] is the truth's.
    """

    neuron: Tensor
    features: Tensor
    random: Tensor
    answers: Tensor
    cosine: Tensor


def planted(seed: int) -> GroundTruth:
    """A toy of G features in D dimensions whose first three share the neuron."""
    truth = make_truth(G, D, seed)
    features = truth.features.clone()
    features[:, NEURON] = 0
    features = normalize(features, dim=1)
    three = slice(0, len(WORDS))
    features[three] *= (1 - PART**2) ** 0.5
    features[three, NEURON] = PART
    return GroundTruth(features, truth.probability, None, truth.seed)


def make(seed: int, recipe: Recipe) -> dict[str, Tensor]:
    """Train a dictionary on one toy and observe it: the fields of `Toy`."""
    truth = planted(seed)
    weights = train(truth, [H], [ALPHA], recipe, seed=seed)[H]
    return vars(observe(truth, weights["W_enc"][0], weights["b_enc"][0], weights["W_dec"][0]))


def observe(truth: GroundTruth, W_enc: Tensor, b_enc: Tensor, W_dec: Tensor) -> Toy:
    """Responses of neuron, features and random directions on inputs that nothing was trained on."""
    strengths = codes(truth, OBSERVED, "article")
    x, present = strengths @ truth.features, strengths > 0
    directions = normalize(torch.randn(H, D, generator=generator("article directions", truth.seed)), dim=1)
    features = selectivity.responses(torch.addmm(b_enc, x, W_enc.T).relu_(), present)
    chance = selectivity.responses((x @ directions.T).relu_(), present)
    own, answers = for_words(features)
    return Toy(
        neuron=selectivity.responses(x[:, [NEURON]].relu(), present)[0], features=features[own],
        random=chance[for_words(chance)[0]], answers=answers,
        cosine=torch.from_numpy(recovery.cosines(truth, W_dec)[: len(WORDS)]),
    )  # fmt: skip


def for_words(response: Tensor) -> tuple[Tensor, Tensor]:
    """The unit for each word, and whether it has the word as its strongest concept; response [units, G].

    Of the units whose strongest concept is the word the one that answers most; where there is none, of all units.
    """
    words = torch.arange(len(WORDS))
    own = torch.where(response.argmax(1)[:, None] == words, response[:, : len(WORDS)], 0.0)
    answers = own.amax(0) > 0
    return torch.where(answers, own.argmax(0), response[:, : len(WORDS)].argmax(0)), answers


def quantities(toys: Sequence[Toy], draws: Mapping[str, int]) -> dict[str, Any]:
    """Means over toys: the neuron, the feature of each word, the least selective of the three."""
    weights = stats.resample_weights(len(toys), **draws)
    features = {
        word: _means(torch.stack([toy.features[at] for toy in toys]), weights)
        | {"cosine": stats.mean(np.array([toy.cosine[at].item() for toy in toys]), weights)}
        for at, word in enumerate(WORDS)
    }
    top = [set(toy.neuron.topk(len(WORDS)).indices.tolist()) == set(range(len(WORDS))) for toy in toys]
    return {
        "neuron": _means(torch.stack([toy.neuron for toy in toys]), weights) | {"words": stats.share(top)},
        "features": features,
        "answered": stats.mean(np.array([toy.answers.sum().item() for toy in toys]), weights),
        **_worst([toy.features for toy in toys], weights),
    }


def control(toys: Sequence[Toy], draws: Mapping[str, int]) -> dict[str, Any]:
    """The same of random directions, as many as the dictionary has features."""
    return _worst([toy.random for toy in toys], stats.resample_weights(len(toys), **draws))


def table(toys: Sequence[Toy]) -> list[dict[str, Any]]:
    """Responses of the neuron and of the feature of each word to all concepts, by toy."""
    return [
        {"toy": number, "unit": unit, "concept": WORDS[i] if i < len(WORDS) else str(i), "response": value}
        for number, toy in enumerate(toys)
        for unit, response in zip(UNITS, (toy.neuron, *toy.features), strict=True)
        for i, value in enumerate(response.tolist())
    ]


def _means(response: Tensor, weights: Array) -> dict[str, Any]:
    """Mean selectivity and number of concepts of responses [toys, G]."""
    return {
        "selectivity": stats.mean(selectivity.selectivity(response).double().numpy(), weights),
        "concepts": stats.mean(selectivity.concepts(response).double().numpy(), weights),
    }


def _worst(responses: Sequence[Tensor], weights: Array) -> dict[str, Any]:
    """Of each toy's three units the least selective, and the one with the most concepts; means over toys."""
    least = [selectivity.selectivity(each).min().item() for each in responses]
    most = [selectivity.concepts(each).max().item() for each in responses]
    return {
        "least_selective": stats.mean(np.array(least), weights),
        "most_concepts": stats.mean(np.array(most), weights),
    }
