"""The article's minimal pair as an experiment: the same word as noun and as verb, types of train and test disjoint.

Every type stands once as noun and once as verb, so that whoever sees the word alone is right half of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from replications.causal.stack import Stack
from replications.layer_probing import causal_check, removal
from replications.layer_probing.causal_check import Prompts
from replications.layer_probing.control_tasks import shuffled_labels
from replications.layer_probing.linear_probes import log_probabilities, scale_of
from replications.layer_probing.probe_series import Plan, fit_seeds
from replications.layer_probing.stimuli import Place, folds


def of_split(places: Sequence[Place], split: str) -> Bool[Tensor, " n"]:
    """Which places are of a split."""
    return torch.tensor([place.split == split for place in places])


def labels_of(places: Sequence[Place]) -> Int[Tensor, " n"]:
    """0 for a noun, 1 for a verb."""
    return torch.tensor([place.label for place in places])


def probe_layer(states: Float[Tensor, "n d"], places: Sequence[Place], plan: Plan) -> dict[str, Tensor]:
    """Of one layer: correct [seeds, words] on dev and test, with true and with shuffled training labels, and P(verb)
    [seeds, 2] of the article's word as noun and as verb. Every seed leaves out other word types.
    """
    train, labels = of_split(places, "train"), labels_of(places)
    scale = scale_of(states[None, train])
    numbers = np.unique([place.type for place in places if place.split == "train"], return_inverse=True)[1]
    weights = torch.from_numpy(folds(numbers, plan.seeds, plan.seed)).float()
    shuffled = torch.from_numpy(shuffled_labels(labels.numpy(), train.numpy(), plan.seed))
    rows = torch.stack([labels, shuffled])[:, train]
    probes = fit_seeds(scale(states[None, train]), rows, weights, n_classes=2, c=plan.c)
    verb = log_probabilities(probes, scale(states[None]))[0, ..., 1].exp().unflatten(0, (plan.seeds, 2))
    correct = (verb > 0.5) == labels.bool()
    found = {f"{split}.{row}": correct[:, place, of_split(places, split)]
             for split in ("dev", "test") for place, row in enumerate(("task", "shuffled"))}  # fmt: skip
    return found | {"article": verb[:, 0, of_split(places, "article")]}


def layers_to_edit(n_layers: int, wanted: int) -> list[int]:
    """So many layers, spread evenly over those that a state can enter."""
    return sorted({round(place) for place in np.linspace(0, n_layers - 1, wanted)})


def check_use(
    stack: Stack, made: Prompts, states: Float[Tensor, "L n d"], places: Sequence[Place], layers: Sequence[int], *,
    rank: int, draws: int, plan: Plan,
) -> dict[str, Tensor]:  # fmt: skip
    """What the test words lose when their predicting states lose the class of the word to come, at each of `layers`.

    `states` are the predicting states of all places that enter these layers; `made` are the test words' prompts.
    Returns, [layers, 2, words], log P(word) and the log odds of the word's class: clean, means, means_random, inlp,
    inlp_random (over the draws); and per layer the rank of INLP and the accuracy of a fresh probe on the test words:
    probe, probe_inlp, probe_random.
    """
    labels, train, dev, test = labels_of(places), *(of_split(places, split) for split in ("train", "dev", "test"))
    generator = torch.Generator().manual_seed(plan.seed)
    base = causal_check.base_run(stack, made)
    side = torch.stack([torch.ones(int(test.sum())), 2.0 * labels[test] - 1])  # odds of verbs are those of a verb
    clean = causal_check.unedited(stack, base, made) * side
    found: dict[str, list[Tensor]] = {}
    for layer, raw in zip(layers, states, strict=True):
        scale = scale_of(raw[None, train])
        fitted = Fitted(scale(raw[None, train]), labels[train], scale(raw[None, dev]), labels[dev], plan.c)
        held_out = scale(base.resid_pre[layer][:, -1][None])  # exact, where what was extracted is rounded
        bases = fitted.bases(rank, draws, generator)
        edited = torch.cat([removal.without(held_out, one) for some in bases.values() for one in some])
        said = causal_check.edited(stack, base, made, layer, edited * scale.deviation + scale.mean)
        parts = (said * side[:, None]).split([len(some) for some in bases.values()], dim=1)
        row = {name: part.mean(dim=1) for name, part in zip(bases, parts, strict=True)} | {"clean": clean}
        row |= fitted.accuracies(bases, held_out, labels[test])
        for name, tensor in row.items():
            found.setdefault(name, []).append(tensor)
    return {name: torch.stack(parts) for name, parts in found.items()}


@dataclass(frozen=True)
class Fitted:
    """Standardised predicting states [1, n, d] of one layer, in which the subspaces are found."""

    x: Tensor
    labels: Tensor
    dev: Tensor
    dev_labels: Tensor
    c: float

    def bases(self, rank: int, draws: int, generator: torch.Generator) -> dict[str, list[Tensor]]:
        """Bases [1, d, r] by condition; INLP stops at the round that leaves a fresh probe at chance on dev."""
        whole = removal.null_space_projection(self.x, self.labels, rank=rank, c=self.c)
        rounds, _ = removal.rounds_needed(self.x, self.labels, self.dev, self.dev_labels, whole, self.c)
        r, d = int(rounds[0]), self.x.shape[2]
        return {
            "means": [removal.difference_of_means(self.x, self.labels)],
            "inlp": [whole[..., :r]],
            "means_random": [removal.random_subspace(1, d, 1, generator) for _ in range(draws)],
            "inlp_random": [removal.random_subspace(1, d, r, generator) for _ in range(draws)],
        }

    def accuracies(self, bases: dict[str, list[Tensor]], held_out: Tensor, answers: Tensor) -> dict[str, Tensor]:
        """Rank of INLP, and how well a fresh probe does on held-out states before and after each removal."""
        (inlp,), random = bases["inlp"], bases["inlp_random"][0]
        asked = {"probe": inlp[..., :0], "probe_inlp": inlp, "probe_random": random}
        return {"rank": torch.tensor(inlp.shape[2])} | {
            name: removal.accuracy_after(self.x, self.labels, held_out, answers, basis, self.c)[0]
            for name, basis in asked.items()
        }
