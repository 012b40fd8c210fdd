"""Training many probes as one tensor program: the same mini-batches for all, each its own Adam, schedule and end.

The authors' rule (Tenney et al. 2019): Adam, a validation every so many steps, the learning rate halved after five
validations without gain, stop after twenty, or at a learning rate below 1e-6, or at a limit of steps; the parameters of
the best validation are kept. A probe that stops leaves the batch; the others go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.optim.adam import adam

from replications.edge_probing import examples as ex
from replications.edge_probing import probe as pr
from replications.edge_probing.examples import Batch, Example, Examples
from replications.edge_probing.probe import DROPOUT, Probe, Shape
from replications.edge_probing.states import States
from replications.probing import series

HALVE_AFTER, STOP_AFTER, SMALLEST_RATE = 5, 20, 1e-6  # validations, validations, learning rate
EVALUATED = 64  # sentences per batch when nothing is learnt
MIX = "mix"  # the parameter that learns faster; with gamma, deep probes of random weights collapsed


@dataclass(frozen=True)
class Rhythm:
    """What the profiles differ in.

    Sentences per batch, learning rate, how many times faster the mix's weights learn (1 in the paper), steps between
    validations, steps at most.
    """

    batch: int
    learning_rate: float
    mix_factor: float
    validate_every: int
    max_steps: int


@dataclass(frozen=True)
class Fitted:
    """Trained probes: parameters [P, ...] of the best validation, its F1 in percent, steps taken, and all dev F1."""

    parameters: dict[str, Tensor]
    dev: Tensor  # [P]
    steps: Tensor  # [P]
    history: list[Tensor]  # per validation [P], NaN for probes that had stopped


@dataclass
class _Course:
    """Where every probe stands; all tensors [P]."""

    rate: Tensor
    best: Tensor
    without_gain: Tensor
    since_halving: Tensor
    steps: Tensor

    @classmethod
    def start(cls, probes: int, rate: float) -> _Course:
        zero = torch.zeros(probes, dtype=torch.long)
        return cls(torch.full((probes,), rate, dtype=torch.float64), torch.full((probes,), -1.0), zero, zero, zero)

    def after(self, alive: Tensor, scores: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Take in the validation scores of the probes `alive` (numbers); which of them gained, and which go on."""
        gained = scores > self.best[alive]
        self.best = self.best.index_put((alive,), torch.maximum(scores, self.best[alive]))
        without = torch.where(gained, 0, self.without_gain[alive] + 1)
        since = torch.where(gained, 0, self.since_halving[alive] + 1)
        halve = since >= HALVE_AFTER
        rate = torch.where(halve, self.rate[alive] / 2, self.rate[alive])
        self.without_gain = self.without_gain.index_put((alive,), without)
        self.since_halving = self.since_halving.index_put((alive,), torch.where(halve, 0, since))
        self.rate = self.rate.index_put((alive,), rate)
        self.steps = self.steps.index_put((alive,), torch.tensor(step))
        return gained, (without < STOP_AFTER) & (rate >= SMALLEST_RATE)


class _Adam:
    """Adam for each probe by itself: stacked parameters and moments, and a learning rate per probe."""

    def __init__(self, parameters: dict[str, Tensor], mix_factor: float):
        self.parameters = {name: tensor.requires_grad_() for name, tensor in parameters.items()}
        self.moments = [[torch.zeros_like(tensor) for tensor in parameters.values()] for _ in range(2)]
        self.factors = [mix_factor if name == MIX else 1.0 for name in parameters]
        self.taken = 0

    def step(self, losses: Tensor, rates: Tensor) -> None:
        """One step of every probe on its own loss [P], at its own rate [P]."""
        gradients = torch.autograd.grad(losses.sum(), list(self.parameters.values()))
        stacked = [[tensor.detach() for tensor in self.parameters.values()], gradients, *self.moments]
        for factor in sorted(set(self.factors)):
            chosen = [[one for one, own in zip(tensors, self.factors, strict=True) if own == factor]
                      for tensors in stacked]  # fmt: skip
            for start, end in _runs(rates.tolist()):  # neighbours at one rate are one slice of every tensor
                self._update([[tensor[start:end] for tensor in tensors] for tensors in chosen], rates[start] * factor)
        self.taken += 1

    def _update(self, tensors: list[list[Tensor]], rate: Tensor) -> None:
        """Adam's update of parameters in place, given them, their gradients and both moments."""
        taken = [torch.tensor(float(self.taken), device=tensor.device) for tensor in tensors[0]]
        parameters, gradients, first, second = tensors
        adam(parameters, gradients, first, second, [], taken, fused=True, amsgrad=False, beta1=0.9, beta2=0.999,
             lr=float(rate), weight_decay=0.0, eps=1e-8, maximize=False)  # fmt: skip

    def only(self, rows: Tensor) -> None:
        """Keep these probes."""
        if len(rows) < len(self.moments[0][0]):
            kept = {name: tensor.detach()[rows].requires_grad_() for name, tensor in self.parameters.items()}
            self.parameters, self.moments = kept, [[tensor[rows] for tensor in moment] for moment in self.moments]


def _runs(values: list[float]) -> list[tuple[int, int]]:
    """[start, end) of every stretch of equal values."""
    edges = [i for i in range(1, len(values)) if values[i] != values[i - 1]]
    return list(pairwise([0, *edges, len(values)]))


def train(probes: Sequence[Probe], shape: Shape, states: States, data: Examples, rhythm: Rhythm, seed: int) -> Fitted:
    """Train all probes on `data.train`, stopping each by its F1 on `data.dev`. `seed` orders the mini-batches."""
    layers = pr.allowed(probes, shape).to(states.device)
    first = {name: tensor.to(states.device) for name, tensor in pr.initial(probes, shape).items()}
    optimiser = _Adam(first, rhythm.mix_factor)
    best = {name: tensor.detach().clone() for name, tensor in optimiser.parameters.items()}
    course, alive, history = _Course.start(len(probes), rhythm.learning_rate), torch.arange(len(probes)), []
    noise = _Dropout(probes, shape.hidden)
    for step, part in enumerate(_forever(data.train, rhythm.batch, seed), start=1):
        batch, going = ex.collate(part).to(states.device), [probes[row] for row in alive]
        logits = pr.forward(
            optimiser.parameters, layers[alive], batch, _gathered(states, batch), noise.masks(going, batch)
        )
        optimiser.step(pr.loss(logits, _wanted(batch, going)), course.rate[alive])
        if step % rhythm.validate_every and step < rhythm.max_steps:
            continue
        current = {name: tensor.detach() for name, tensor in optimiser.parameters.items()}
        scores = series.f1(counts(current, layers[alive], going, states, data.dev, data.scored).sum(dim=-1))
        gained, goes_on = course.after(alive, scores, step)
        for name, tensor in best.items():
            tensor[alive[gained]] = current[name][gained]
        history.append(torch.full((len(probes),), torch.nan).index_put((alive,), scores))
        if step >= rhythm.max_steps or not goes_on.any():
            return Fitted(best, course.best, course.steps, history)
        alive = alive[goes_on]
        optimiser.only(goes_on.nonzero()[:, 0])
    raise AssertionError("mini-batches never end")


@torch.inference_mode()
def counts(
    parameters: pr.Parameters, layers: Tensor, probes: Sequence[Probe], states: States, split: list[Example],
    scored: Tensor,
) -> Tensor:  # fmt: skip
    """True positives, false positives and false negatives of the scored labels, per sentence: [3, P, sentences]."""
    found = torch.zeros(3, len(probes), len(split))
    for start in range(0, len(split), EVALUATED):
        batch = ex.collate(split[start : start + EVALUATED]).to(states.device)
        said = (pr.forward(parameters, layers, batch, _gathered(states, batch), None) > 0)[..., scored]
        gold = _wanted(batch, probes)[..., scored].bool()
        for kind, hits in enumerate((said & gold, said & ~gold, ~said & gold)):
            found[kind].index_add_(1, start + batch.sentence, hits.sum(dim=-1).float().cpu())
    return found


def _forever(split: list[Example], size: int, seed: int) -> Iterator[list[Example]]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from ex.batches(split, size, generator)


def _gathered(states: States, batch: Batch) -> list[Tensor]:
    return [states(side.rows) for side in batch.sides]


def _wanted(batch: Batch, probes: Sequence[Probe]) -> Tensor:
    """Each probe's own labels: [P, targets, C]."""
    return batch.labels[torch.tensor([int(probe.shuffled) for probe in probes])]


class _Dropout:
    """Masks from one generator per seed, so that a probe sees the same noise alone and among others."""

    def __init__(self, probes: Sequence[Probe], hidden: int):
        self.hidden = hidden
        seeds = sorted({probe.seed for probe in probes})
        self.generators = {seed: torch.Generator().manual_seed(seed + 1) for seed in seeds}

    def masks(self, probes: Sequence[Probe], batch: Batch) -> Tensor:
        """Scaled masks [P, targets, hidden] of the next step."""
        size = (batch.labels.shape[1], self.hidden)
        drawn = {seed: torch.rand(size, generator=each).ge_(DROPOUT).div_(1 - DROPOUT)
                 for seed, each in self.generators.items()}  # fmt: skip
        return torch.stack([drawn[probe.seed] for probe in probes]).to(batch.labels.device)
