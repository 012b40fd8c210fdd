"""All linear probes at once: multinomial logistic regressions over layers x problems as one tensor program.

The objective is that of scikit-learn's LogisticRegression, C * sum_i w_i loss_i + |W|^2 / 2 with a free intercept,
divided by C * sum_i w_i. The problems of a layer (tasks, control tasks, shuffled labels, seeds) read the same states,
so their classes stand side by side: an evaluation is two matrix products per layer. The optimiser is preconditioned
with the Hessian at zero, (1/k) X'X / n + l2, which the problems of a layer share, and for the intercepts with the
variance of each class: about half the evaluations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from replications.errors import Refusal
from replications.layer_probing import lbfgs
from replications.probing.threads import side_by_side

TOLERANCE = 1e-4  # largest entry of the gradient of the mean objective: scikit-learn's own default
ROWS = 1024  # words at a time through both products, so that a CPU reads them from its cache the second time
CACHE = 1 << 23  # bytes of states that are taken through the optimiser together
TINY = 1e-38  # below it a probability is 0 in float32; only steps that go too far see one
ENOUGH = 100  # words per dimension for the preconditioner, which need not be exact

Block = tuple[int, int, Bool[Tensor, " P"] | None]  # words [begin, end), and which problems see them


@dataclass(frozen=True)
class Probes:
    """Fitted probes: the logit of a class is weights . x + bias. `gradient` is the largest entry of each gradient."""

    weights: Float[Tensor, "L P k d"]
    bias: Float[Tensor, "L P k"]
    gradient: Float[Tensor, "L P"]
    evaluations: Int[Tensor, "L P"]

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All four tensors, in the order above."""
        return self.weights, self.bias, self.gradient, self.evaluations


@dataclass(frozen=True)
class Scale:
    """One standardisation per layer, from the training states: mean 0 and variance 1 in every dimension."""

    mean: Float[Tensor, "L 1 d"]
    deviation: Float[Tensor, "L 1 d"]

    def __call__(self, states: Float[Tensor, "L n d"]) -> Float[Tensor, "L n d"]:
        return (states.float() - self.mean) / self.deviation


def scale_of(states: Float[Tensor, "L n d"]) -> Scale:
    """Mean and standard deviation of every layer's states; a dimension that never varies is only centred."""
    states = states.float()
    deviation = states.std(dim=1, keepdim=True, correction=0)
    varies = states.amax(dim=1, keepdim=True) > states.amin(dim=1, keepdim=True)  # the deviation of .1, .1 is rounding
    return Scale(states.mean(dim=1, keepdim=True), torch.where(varies, deviation, 1))


def fit(
    states: Float[Tensor, "L n d"],
    labels: Int[Tensor, "P n"],
    *,
    n_classes: int,
    c: float,
    weights: Float[Tensor, "P n"] | None = None,
    leaders: int | None = None,
    tolerance: float = TOLERANCE,
    max_evaluations: int = 1000,
) -> Probes:
    """A probe of every layer for every row of labels, by full-batch optimisation until the gradient is small.

    A weight says how often a word counts; 0 leaves it out. States should be standardised. With `leaders`, the first so
    many problems are solved first, and problem i begins where problem i % leaders ended: cheaper where they are alike.
    Refuses what no probe can be fitted to, and a fit that does not reach the tolerance.
    """
    weights = torch.ones(labels.shape) if weights is None else weights.float()
    _check(states, labels, weights, n_classes)
    order, blocks = _blocks(weights > 0, ROWS if states.device.type == "cpu" else states.shape[1])
    if order is not None:
        labels, weights = labels[:, order], weights[:, order]

    def solved(here: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        task = _Objective(here if order is None else here[:, order], labels, weights, blocks, n_classes, c)
        return _solved(task, leaders or len(labels), tolerance, max_evaluations)

    groups = side_by_side(solved, states.split(_layers_at_once(states)))
    theta, gradient, evaluations = (torch.cat(parts) for parts in zip(*groups, strict=True))
    _refuse_unfinished(gradient, tolerance, max_evaluations)
    theta = theta.unflatten(-1, (n_classes, states.shape[2] + 1))
    return Probes(theta[..., :-1], theta[..., -1], gradient, evaluations)


def _solved(task: _Objective, leaders: int, tolerance: float, max_evaluations: int) -> tuple[Tensor, Tensor, Tensor]:
    """theta [L, P, m], largest gradient [L, P] and evaluations [L, P] of some layers; the leaders first."""
    limits: dict[str, Any] = {"tolerance": tolerance, "max_evaluations": max_evaluations}
    problems = torch.arange(len(task.labels))
    first = lbfgs.minimise(task, task.precondition, task.start()[:, :leaders], problems[:leaders], **limits)
    if leaders >= len(problems):
        return first
    start = first[0][:, problems[leaders:] % leaders]
    rest = lbfgs.minimise(task, task.precondition, start, problems[leaders:], **limits)
    theta, gradient, evaluations = (torch.cat(pair, dim=1) for pair in zip(first, rest, strict=True))
    return theta, gradient, evaluations


def log_probabilities(probes: Probes, states: Float[Tensor, "L n d"]) -> Float[Tensor, "L P n k"]:
    """Log probability, nats, of every class for every word, by every probe of the word's layer."""
    n_layers, problems, n_classes, _ = probes.weights.shape
    logits = torch.baddbmm(probes.bias.flatten(1)[:, None], states, probes.weights.flatten(1, 2).transpose(1, 2))
    return logits.view(n_layers, -1, problems, n_classes).log_softmax(dim=-1).transpose(1, 2)


def predictions(probes: Probes, states: Float[Tensor, "L n d"]) -> Int[Tensor, "L P n"]:
    """The likeliest class of every word, by every probe of the word's layer."""
    return torch.stack(side_by_side(
        lambda i: log_probabilities(_part(probes, i), states[i : i + 1])[0].argmax(dim=-1), range(len(states))
    ))  # fmt: skip


class _Objective:
    """Value and gradient of the mean objective for some layers and problems; theta is [L, P, k * (d + 1)].

    Words are taken in blocks that the same problems see, so that no product is spent on words of weight 0.
    """

    def __init__(
        self, states: Tensor, labels: Tensor, weights: Tensor, blocks: list[Block], n_classes: int, c: float
    ) -> None:
        total = weights.sum(dim=1, keepdim=True)
        self.x = pad(states.float(), (0, 1), value=1.0)  # the last column is the intercept's
        self.labels, self.share = labels, weights / total  # each row of shares sums to 1
        self.blocks, self.k = blocks, n_classes
        self.l2 = 1 / (c * total[:, 0])  # [P]
        self.common = self._common()
        self.label_sums = self._label_sums()
        self.inverse = self._inverse_hessian()
        self.part: tuple[Tensor, Tensor] | None = None

    def start(self) -> Float[Tensor, "L P m"]:
        """Probes that know only how common each class is."""
        theta = self.x.new_zeros(len(self.x), len(self.labels), self.k, self.x.shape[2])
        theta[..., -1] = self.common.log()
        return theta.flatten(2)

    def __call__(self, theta: Tensor, layers: Tensor, problems: Tensor) -> tuple[Tensor, Tensor]:
        w, every = theta.unflatten(2, (self.k, -1)), len(problems) == len(self.labels)
        own, l2 = (self.label_sums, self.l2) if every else (self.label_sums[:, problems], self.l2[problems])
        penalised = w * l2[:, None, None]
        penalised[..., -1] = 0
        value = 0.5 * (penalised * w).sum(dim=(2, 3))
        gradient = penalised - (own if len(layers) == len(own) else own[layers])
        x = self._x(layers)
        for begin, end, seen in self.blocks:
            here = None if seen is None and every else problems if seen is None else problems[seen[problems]]
            if here is None or len(here):
                every_one = seen is None or here is None or len(here) == len(problems)
                place = None if seen is None or every_one else seen[problems].nonzero()[:, 0]
                self._add_block(value, gradient, w, x[:, begin:end], slice(begin, end), here, place)
        return value, gradient.flatten(2)

    def _add_block(
        self, value: Tensor, gradient: Tensor, w: Tensor, x: Tensor, words: slice, here: Tensor | None,
        place: Tensor | None,
    ) -> None:  # fmt: skip
        """Add what the words of a block contribute to the problems that see them.

        `here` are their numbers (None: all), `place` their places in w (None: all of it).
        """
        labels, share = self.labels[:, words], self.share[:, words]
        if here is not None:
            labels, share = labels[here], share[here]
        w = (w if place is None else w[:, place]).flatten(1, 2)
        p = torch.bmm(w, x.transpose(1, 2)).unflatten(1, (-1, self.k)).softmax(dim=2)
        own = p.gather(2, labels[None, :, None].expand(len(p), -1, -1, -1))[:, :, 0]
        lost = -(own.clamp(min=TINY).log_() * share).sum(dim=-1)
        error = p.mul_(share[:, None]).flatten(1, 2)
        if place is None:
            value += lost
            gradient.flatten(1, 2).baddbmm_(error, x)
        else:
            value.index_add_(1, place, lost)
            gradient.index_add_(1, place, torch.bmm(error, x).unflatten(1, (-1, self.k)))

    def precondition(self, gradient: Tensor, layers: Tensor, problems: Tensor) -> Tensor:
        """The gradient times an inverse Hessian: of the weights at theta = 0, of the intercepts at the start."""
        inverse = self.inverse if len(layers) == len(self.inverse) else self.inverse[layers]
        rows = gradient.view(len(layers), -1, self.x.shape[2])
        turned = torch.bmm(rows, inverse).view(len(layers), -1, self.k, self.x.shape[2])
        common = self.common[problems]
        turned[..., -1] /= common * (1 - common).clamp(min=TINY)
        return turned.flatten(2)

    def _common(self) -> Float[Tensor, "P k"]:
        """Share of every class; one that does not occur counts as half a word."""
        share = self.x.new_zeros(len(self.labels), self.k).scatter_add_(1, self.labels, self.share)
        return share.clamp(min=0.5 / self.labels.shape[1])

    def _label_sums(self) -> Float[Tensor, "L P k d1"]:
        """Weighted sum of the states that carry a label: the part of the gradient that never changes."""
        carries = torch.zeros(len(self.labels), self.k, self.labels.shape[1], device=self.x.device)
        carries.scatter_(1, self.labels[:, None], self.share[:, None])
        return (carries.flatten(0, 1) @ self.x).unflatten(1, (-1, self.k))

    def _inverse_hessian(self) -> Float[Tensor, "L d1 d1"]:
        """Of the weights of each layer's problems at theta = 0, classes apart; 1 in the place of the intercept.

        From as many of the words as that takes. Standardised states have mean 0, so that the two hardly interact.
        """
        some = self.x[:, :: max(1, self.x.shape[1] // (ENOUGH * self.x.shape[2]))]
        hessian = some.transpose(1, 2) @ some / (self.k * some.shape[1])
        hessian[:, -1], hessian[:, :, -1], hessian[:, -1, -1] = 0, 0, 1
        hessian.diagonal(dim1=1, dim2=2)[:, :-1] += self.l2.mean()
        return torch.cholesky_inverse(torch.linalg.cholesky(hessian))

    def _x(self, layers: Tensor) -> Float[Tensor, "l n d1"]:
        """The states of the layers still under way; copied when some have ended, not at every evaluation."""
        if len(layers) == len(self.x):
            return self.x
        if self.part is None or not torch.equal(self.part[0], layers):
            self.part = layers, self.x[layers]
        return self.part[1]


def _blocks(seen: Bool[Tensor, "P n"], rows: int) -> tuple[Tensor | None, list[Block]]:
    """An order of the words (None: as they are), and blocks of at most `rows` of them (None: all problems see them).

    Words are sorted by the problems that see them, unless there are too many such groups for blocks of a useful size.
    """
    n = seen.shape[1]
    powers = torch.rand(len(seen), 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    keys, which = (seen.cpu() * powers).sum(dim=0).unique(return_inverse=True)  # a number for each set of problems
    if len(keys) == 1 or len(keys) * rows > 4 * n:
        return None, [(begin, min(begin + rows, n), None) for begin in range(0, n, rows)]
    blocks: list[Block] = []
    order, end = which.argsort(stable=True), 0
    for size in which.bincount().tolist():
        begin, end = end, end + size
        blocks += [(at, min(at + rows, end), seen[:, order[begin]]) for at in range(begin, end, rows)]
    return order, blocks


def _layers_at_once(states: Tensor) -> int:
    """How many layers go through the optimiser together: as many as a CPU's cache holds, or an accelerator's memory."""
    return max(1, (CACHE if states.device.type == "cpu" else 64 * CACHE) // (4 * states[0].numel()))


def _part(probes: Probes, layer: int) -> Probes:
    return Probes(*(part[layer : layer + 1] for part in probes.parts))


def _check(states: Tensor, labels: Tensor, weights: Tensor, n_classes: int) -> None:
    """Refuses what no probe can be fitted to."""
    n = states.shape[1]
    if labels.shape[1] != n or weights.shape != labels.shape:
        raise Refusal(f"{n} words have labels {[*labels.shape]} and weights {[*weights.shape]}: give one per word")
    if labels.numel() == 0 or int(labels.min()) < 0 or int(labels.max()) >= n_classes:
        raise Refusal(f"labels should be 0 to {n_classes - 1}, and there should be some")
    if bool((weights < 0).any()) or bool((weights.sum(dim=1) <= 0).any()):
        raise Refusal("weights should be 0 or more, and every problem should have a word that counts")
    if not bool(torch.isfinite(states.sum())):
        raise Refusal("the states hold a number that is not finite: no probe can be fitted to them")


def _refuse_unfinished(gradient: Tensor, tolerance: float, max_evaluations: int) -> None:
    late = int((gradient > tolerance).sum())
    if late:
        worst = f"the largest gradient is {gradient.max():.2g}, not {tolerance:g}"
        raise Refusal(f"{late} of {gradient.numel()} probes did not converge in {max_evaluations} evaluations: {worst}")
