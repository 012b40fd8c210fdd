"""v*: what the projection should write at the last subject token, found by gradient descent on the value itself.

Meng et al. 2022, section 3.1 and the released compute_v: Adam on delta, added to the projection's output at the last
subject token of every context, against -log P(o*) + kl KL(edited || unedited at the subject of "{subject} is a")
+ weight_decay |delta| / |v|². Many facts share one tensor program; each has its own delta, its own optimiser state and
its own end, so that the result is that of one fact at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from replications.rome_editing.edits import at_subject, averaged, spread
from replications.rome_editing.hparams import HParams
from replications.rome_editing.packed import PackedModel
from replications.rome_editing.rows import Row

# Nats that a gradient has to promise for a delta as long as the value; below that a fact is done. In the last layer no
# later token hears of a delta, and what is left of its gradient is rounding, which Adam would blow up to full steps in
# a direction that differs between machines.
ROUNDING = 1e-4


@dataclass(frozen=True)
class Rewrite:
    """One fact to write: the prompt in its contexts (the bare prompt first) with the new object, and the essence."""

    contexts: tuple[Row, ...]
    target: tuple[int, ...]
    essence: Row

    @property
    def rows(self) -> tuple[Row, ...]:
        return (*self.contexts, self.essence)


@dataclass(frozen=True)
class Values:
    """Of n facts: delta and v at the bare prompt (v* is their sum), keys, and what happened on the way.

    `bare` are the bare prompt's key and value, `mean` their means over contexts. `losses` are NaN after a fact's end.
    """

    delta: Float[Tensor, "n d_model"]
    bare_key: Float[Tensor, "n d_mlp"]
    bare_value: Float[Tensor, "n d_model"]
    mean_key: Float[Tensor, "n d_mlp"]
    mean_value: Float[Tensor, "n d_model"]
    losses: Float[Tensor, "n steps"]

    @property
    def target(self) -> Float[Tensor, "n d_model"]:
        """v*."""
        return self.bare_value + self.delta


class Search:
    """The objective of some facts as a function of their deltas, from one unedited run of all their rows."""

    def __init__(self, model: PackedModel, facts: Sequence[Rewrite], layers: Sequence[int], hp: HParams) -> None:
        self.model, self.facts, self.hp = model, facts, hp
        self.base = model.record([row for fact in facts for row in fact.rows], layers)
        counts = torch.tensor([len(fact.rows) for fact in facts])
        self.begin = (counts.cumsum(0) - counts).tolist()
        with torch.no_grad():
            essence = self.base.states[self._ends(range(len(facts))) - 1]
            self.essence = log_softmax(model.logits(essence), dim=-1)

    def rows_of(self, fact: int, essence: bool = True) -> range:
        """Its rows in the base run."""
        begin, count = self.begin[fact], len(self.facts[fact].contexts)
        return range(begin, begin + count + essence)

    def losses(self, layer: int, facts: Sequence[int], delta: Float[Tensor, "f d_model"]) -> Float[Tensor, " f"]:
        """Each fact's objective; a fact's loss depends on its own delta only."""
        rows = [row for fact in facts for row in self.rows_of(fact)]
        owners = [i for i, fact in enumerate(facts) for _ in self.rows_of(fact)]
        states = self.model.states(self.base, rows, layer, at_subject(spread(delta, owners)), from_subject=True)
        return (
            self._surprise(facts, states) + self.hp.kl * self._drift(facts, states) + self._decay(layer, facts, delta)
        )

    def _ends(self, facts: Sequence[int]) -> Int[Tensor, " f"]:
        """After the last of each fact's states, which is its essence."""
        counts = [sum(len(row.asked) for row in self.facts[fact].rows) for fact in facts]
        return torch.tensor(counts, device=self.model.device).cumsum(0)

    def _surprise(self, facts: Sequence[int], states: Float[Tensor, "s d_model"]) -> Float[Tensor, " f"]:
        """Mean -log P(o*) per token and context; a fact's contexts all have the same number of tokens to say."""
        wanted = [self.facts[fact].target * len(self.facts[fact].contexts) for fact in facts]
        tokens = torch.tensor([token for some in wanted for token in some], device=states.device)
        owners = torch.tensor([i for i, some in enumerate(wanted) for _ in some], device=states.device)
        spoken = torch.ones(len(states), dtype=torch.bool, device=states.device)
        spoken[self._ends(facts) - 1] = False
        each = cross_entropy(self.model.logits(states[spoken]), tokens, reduction="none")
        total = torch.zeros(len(facts), device=states.device).index_add(0, owners, each)
        return total / torch.bincount(owners)

    def _drift(self, facts: Sequence[int], states: Float[Tensor, "s d_model"]) -> Float[Tensor, " f"]:
        """KL(edited || unedited) at the essence."""
        now = log_softmax(self.model.logits(states[self._ends(facts) - 1]), dim=-1)
        return kl_div(self.essence[list(facts)], now, log_target=True, reduction="none").sum(-1)

    def _decay(self, layer: int, facts: Sequence[int], delta: Float[Tensor, "f d_model"]) -> Float[Tensor, " f"]:
        norms = self._norms(layer)
        factors = torch.tensor([self.hp.decay(norms[fact]) for fact in facts], device=delta.device)
        return factors * delta.norm(dim=-1)

    def find(self, layer: int) -> Values:
        """v* of every fact at one of the recorded layers."""
        initial = self.base.values[layer][self.begin]
        deltas = [torch.zeros_like(value, requires_grad=True) for value in initial]
        norms = self._norms(layer)
        steps = [self.hp.step(norm, initial.shape[-1]) for norm in norms]
        optimiser = torch.optim.Adam([{"params": [d], "lr": lr} for d, lr in zip(deltas, steps, strict=True)])
        history = torch.full((len(self.facts), self.hp.steps), torch.nan)
        running = list(range(len(self.facts)))
        for step in range(self.hp.steps):
            losses = self.losses(layer, running, torch.stack([deltas[fact] for fact in running]))
            history[running, step] = losses.detach().cpu()
            on = [i for i, loss in enumerate(losses.tolist()) if loss >= self.hp.stop]
            if not on or step == self.hp.steps - 1:
                break
            running = [running[i] for i in on]
            found = torch.autograd.grad(losses[on].sum(), [deltas[fact] for fact in running])
            gradients = {i: g for i, g in zip(running, found, strict=True) if g.norm() * norms[i] > ROUNDING}
            running = list(gradients)
            if not running:
                break
            _step(optimiser, deltas, gradients)
            _clamp(deltas, [self.hp.clamp * norm for norm in norms])
        return self._values(layer, torch.stack(deltas).detach(), history)

    def _norms(self, layer: int) -> list[float]:
        """|v| of each fact at the bare prompt."""
        return self.base.values[layer][self.begin].norm(dim=-1).tolist()

    def _values(self, layer: int, delta: Tensor, history: Tensor) -> Values:
        keys, values = self.base.keys[layer], self.base.values[layer]
        contexts = [self.rows_of(fact, essence=False) for fact in range(len(self.facts))]
        return Values(
            delta, keys[self.begin], values[self.begin], averaged(keys, contexts), averaged(values, contexts), history
        )


def _step(optimiser: torch.optim.Adam, deltas: Sequence[Tensor], gradients: Mapping[int, Tensor]) -> None:
    """One step of the facts that have a gradient; Adam leaves the others, and their moments, alone."""
    for i, delta in enumerate(deltas):
        delta.grad = gradients.get(i)
    optimiser.step()


@torch.no_grad()
def _clamp(deltas: Sequence[Tensor], largest: Sequence[float]) -> None:
    """Back onto the ball that each delta has left."""
    for delta, limit in zip(deltas, largest, strict=True):
        delta.mul_(limit / delta.norm().clamp(min=limit))
