"""Which feature a concept has, its difference of means, and features drawn at random to hold it against.

All from example sentences and training text, by stated rules; generated text has no part in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from replications.dictionaries import stream
from replications.dictionaries.sae import Dictionary
from replications.dictionaries.seeds import generator
from replications.dictionaries.stream import Site
from replications.errors import Refusal
from replications.evidence.stats import auroc
from replications.models.load import Loaded
from replications.sae_steering.concepts import Concepts
from replications.sae_steering.texts import padded, tokens_of

POOL = 16  # features of the most similar density that random ones are drawn from


@dataclass(frozen=True)
class Usage:
    """Of every feature on training text: largest activation [h] and share of tokens on which it is active [h]."""

    largest: Float[Tensor, " h"]
    density: Float[Tensor, " h"]


@dataclass(frozen=True)
class Directions:
    """What steers to one concept. `feature` is that of the dictionary, of AUC `auc` between sentences; `scale` its
    largest activation on training text, of which targets are multiples; `difference` [d]; `random`, one per prompt."""

    feature: int
    auc: float
    scale: float
    density: float
    difference: Float[Tensor, " d"]
    random: tuple[int, ...]


@torch.no_grad()
def usage(loaded: Loaded, site: Site, dictionary: Dictionary, windows: Int[Tensor, "n T"]) -> Usage:
    """Activations on windows of training text, the first position of each left out."""
    largest, active, total = torch.zeros(dictionary.h), torch.zeros(dictionary.h), 0
    for part in windows.split(8):
        x = stream.activations(loaded.hf_model, part, [site])[site][:, 1:]
        f = dictionary.encode(x.reshape(-1, x.shape[-1])).cpu()
        largest, active, total = torch.maximum(largest, f.amax(0)), active + (f > 0).sum(0), total + len(f)
    return Usage(largest, active / total)


@torch.no_grad()
def sentence_means(
    loaded: Loaded, site: Site, dictionary: Dictionary, sentences: Sequence[str]
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n h"]]:
    """Mean activation and mean feature activations of each sentence, over its tokens after the first."""
    rows = [tokens_of(loaded, sentence) for sentence in sentences]
    tokens, length = padded(rows, right=True)
    x = stream.activations(loaded.hf_model, tokens, [site])[site].cpu()
    of = [slice(1, int(n)) for n in length]
    features = [dictionary.encode(value[part].to(dictionary.W_dec.device)).mean(0).cpu()
                for value, part in zip(x, of, strict=True)]  # fmt: skip
    return torch.stack([value[part].mean(0) for value, part in zip(x, of, strict=True)]), torch.stack(features)


def find_all(
    loaded: Loaded, site: Site, dictionary: Dictionary, used: Usage, concepts: Concepts, n_random: int, seed: int
) -> list[Directions]:
    """The directions of every concept, against the sentences of all others and the neutral ones."""
    groups = [*(concept.examples for concept in concepts.concepts), concepts.neutral.examples]
    label = torch.tensor([index for index, group in enumerate(groups) for _ in group])
    means, features = sentence_means(loaded, site, dictionary, [text for group in groups for text in group])
    chosen = [choose(features[label == index], features[label != index], used)
              for index in range(len(concepts.concepts))]  # fmt: skip
    taken = {feature for feature, _ in chosen}
    return [
        Directions(feature, score, float(used.largest[feature]), float(used.density[feature]),
                   means[label == index].mean(0) - means[label != index].mean(0),
                   matched(used, feature, taken, n_random, seed))
        for index, (feature, score) in enumerate(chosen)
    ]  # fmt: skip


def choose(own: Float[Tensor, "a h"], others: Float[Tensor, "b h"], used: Usage) -> tuple[int, float]:
    """The feature whose mean activation best tells the concept's sentences from others, and its AUC.

    Of features active on training text, the one of largest AUC; among equals, of largest difference of means.
    Refuses a dictionary none of whose features is ever active.
    """
    alive = used.largest > 0
    if not alive.any():
        raise Refusal("no feature of the dictionary is active on the training text: there is nothing to clamp")
    auc = torch.from_numpy(auroc(own, others))
    difference = (own.mean(0) - others.mean(0)).double()
    score = torch.where(alive, auc, -1.0)
    best = torch.where(score == score.max(), difference, -torch.inf).argmax()
    return int(best), float(auc[best])


def matched(used: Usage, feature: int, taken: set[int], n: int, seed: int) -> tuple[int, ...]:
    """`n` features drawn from those of the most similar density that no concept has chosen."""
    allowed = [index for index in (used.largest > 0).nonzero()[:, 0].tolist() if index not in taken]
    if not allowed:
        raise Refusal("the dictionary has no living feature beside those chosen: nothing random to compare with")
    away = (used.density.clamp_min(1e-9).log() - used.density[feature].clamp_min(1e-9).log()).abs()
    pool = sorted(allowed, key=lambda index: (float(away[index]), index))[:POOL]
    drawn = torch.randint(len(pool), (n,), generator=generator("random features", seed, feature))
    return tuple(pool[index] for index in drawn.tolist())
