"""One layer's probes on a treebank: every task, its control task, shuffled labels and bits, as fits that share states.

What is kept is which test words each probe gets right, and what each training word's label costs: everything that is
reported is an average over these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from replications.layer_probing import control_tasks
from replications.layer_probing.description_length import online_code
from replications.layer_probing.linear_probes import Probes, fit, predictions, scale_of
from replications.layer_probing.stimuli import Words, folds


@dataclass(frozen=True)
class Problem:
    """Sets of labels of all words that are probed side by side; `rows` names them. With `once`, by one seed only."""

    name: str
    rows: tuple[str, ...]
    labels: Int[Tensor, "P n"]
    n_classes: int
    once: bool = False


@dataclass(frozen=True)
class Plan:
    """What is fitted to every layer: see params.yaml, `layer_probing`."""

    c: float
    seeds: int
    seed: int
    bits: bool


def problems(words: Words, keep: NDArray[np.bool_], seed: int, *, shuffled: bool = True) -> list[Problem]:
    """Every task of the words that are kept; the first with its control task and, if asked for, shuffled labels."""
    train, types = words.train[keep], control_tasks.word_types(words.words)[keep]
    found = []
    for number, (name, whole) in enumerate(words.labels.items()):
        labels, n_classes = whole[keep], len(words.classes[name])
        rows = {"task": labels}
        if number == 0:
            rows["control"] = control_tasks.control_labels(types, labels, train, seed)
        if number == 0 and shuffled:
            mixed = control_tasks.shuffled_labels(labels, train, seed)
            found.append(Problem(name, ("shuffled",), torch.from_numpy(mixed)[None], n_classes, once=True))
        found.append(Problem(name, tuple(rows), torch.from_numpy(np.stack(list(rows.values()))), n_classes))
    return found


def probe_layer(
    states: Float[Tensor, "n d"], made: Sequence[Problem], words: Words, keep: NDArray[np.bool_], plan: Plan
) -> dict[str, Tensor]:
    """{task.row: correct [seeds, test words]} and, with `bits`, {task.row.bits: bits [training words]} of one layer.

    Bits come in the words' own order, whatever order they were sent in.
    """
    train = torch.from_numpy(words.train[keep])
    weights = torch.from_numpy(folds(words.sentence[keep][words.train[keep]], plan.seeds, plan.seed)).float()
    scale = scale_of(states[None, train])
    x, held_out = scale(states[None, train]), scale(states[None, ~train])
    found: dict[str, Tensor] = {}
    for problem in made:
        of_seeds = weights[: 1 if problem.once else None]
        probes = fit_seeds(x, problem.labels[:, train], of_seeds, n_classes=problem.n_classes, c=plan.c)
        said = predictions(probes, held_out)[0].unflatten(0, (len(of_seeds), -1))
        correct = said == problem.labels[:, ~train]
        found |= {f"{problem.name}.{row}": correct[:, place] for place, row in enumerate(problem.rows)}
    if plan.bits:
        (coded,) = (problem for problem in made if "control" in problem.rows)
        found |= _bits(states[train], coded, words.sentence[keep][words.train[keep]], train, plan)
    return found


def fit_seeds(
    x: Float[Tensor, "L n d"], labels: Int[Tensor, "P n"], weights: Float[Tensor, "S n"], *, n_classes: int, c: float
) -> Probes:
    """A probe for every seed's words and every row of labels: [L, S * P], seeds outermost.

    Seeds share most of their words, so all but the first begin where the first ended.
    """
    return fit(
        x, labels.repeat(len(weights), 1), n_classes=n_classes, c=c, leaders=len(labels),
        weights=weights.repeat_interleave(len(labels), dim=0),
    )  # fmt: skip


def stacked(layers: Iterable[dict[str, Tensor]]) -> dict[str, NDArray]:
    """{name: array with the layers as first axis}."""
    parts = list(layers)
    return {name: np.stack([part[name].numpy() for part in parts]) for name in parts[0]}


def _bits(
    states: Float[Tensor, "n d"], problem: Problem, sentence: NDArray[np.int64], train: Tensor, plan: Plan
) -> dict[str, Tensor]:
    """Task and control task by online code; the sentences come in seeded order."""
    order = np.random.default_rng(plan.seed).permutation(sentence.max() + 1)
    sent = torch.from_numpy(np.argsort(order[sentence], kind="stable"))
    labels = problem.labels[:, train][:, sent]
    coded = online_code(states[None, sent], labels, n_classes=problem.n_classes, c=plan.c)[0]
    bits = torch.empty_like(coded)
    bits[:, sent] = coded
    return {f"{problem.name}.{row}.bits": bits[place] for place, row in enumerate(problem.rows)}
