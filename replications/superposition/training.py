"""Thousands of toy models in one training run: one batched gradient, one Adam over all parameters.

The released notebook trains 10,000 steps of AdamW at a constant 0.001 on batches of 1,024. Here the rate is higher
and falls to zero over the second half, so that a tenth of the inputs leads as far. Densities share their draws, seeds
do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from replications import progress
from replications.superposition import inputs
from replications.superposition.model import Draw, Gradient, ToyModels, losses, make_bank

EVALUATED = 4096  # inputs on which models are compared, the same for all


@dataclass(frozen=True)
class Recipe:
    """Length of a training run, and the rate of its first half. `batch` inputs per step, or `nodes` of a quadrature."""

    steps: int
    lr: float
    batch: int = 0
    nodes: int = 0


@dataclass(frozen=True)
class ToyTrained:
    """Models by setting and seed: W [settings, seeds, n, m], b [settings, seeds, n], loss [settings, seeds]."""

    W: Tensor
    b: Tensor
    loss: Tensor

    def best(self) -> Tensor:
        """W [settings, n, m] of the seed with the least loss."""
        return self.W[torch.arange(len(self.W)), self.loss.argmin(1)]


def train_sampled(
    density: Tensor, importance: Tensor, m: int, seeds: int, recipe: Recipe, *, seed: int, linear: bool = False,
    device: str = "cpu",
) -> ToyTrained:  # fmt: skip
    """Train `seeds` models for each row of `density` and `importance` [settings, n] on sampled inputs."""
    settings, n = density.shape
    generator = torch.Generator().manual_seed(seed)
    bank = make_bank(settings * seeds, n, m, linear=linear, generator=generator).to(device)
    rows, weigh = _each(density, seeds).to(device)[:, None], _each(importance, seeds).to(device)
    draws = torch.Generator(device).manual_seed(seed + 1)
    u, seed_of = torch.empty(seeds, recipe.batch, n, device=device), torch.arange(seeds).repeat(settings).to(device)

    gradient = Gradient(bank, weigh, recipe.batch)
    x = u.new_empty(max(at.stop - at.start for at in gradient.slices), recipe.batch, n)

    def draw(at: slice) -> tuple[Tensor, None]:
        if at.start == 0:
            u.uniform_(generator=draws)
        own = torch.index_select(u, 0, seed_of[at], out=x[: at.stop - at.start])
        return inputs.sample(own, rows[at], out=own), None

    _descend(bank, gradient, draw, recipe)
    u = torch.rand(EVALUATED, n, generator=draws, device=device)
    return _trained(bank, settings, seeds, lambda at: losses(bank.part(at), inputs.sample(u, rows[at]), weigh[at]))


def train_exact(
    density: Tensor, importance: Tensor, m: int, seeds: int, recipe: Recipe, *, seed: int,
    device: str = "cpu",
) -> ToyTrained:  # fmt: skip
    """The same on the expected loss itself, by quadrature; for few features only (see `inputs.quadrature`)."""
    settings, n = density.shape
    generator = torch.Generator().manual_seed(seed)
    bank = make_bank(settings * seeds, n, m, linear=False, generator=generator).to(device)
    x, parts = inputs.quadrature(n, recipe.nodes)
    x = x.to(device)
    weight, weigh = (_each(rows, seeds).to(device) for rows in (inputs.weights(parts, density), importance))

    def draw(at: slice) -> tuple[Tensor, Tensor]:
        return x.expand(len(weight[at]), -1, -1), weight[at]

    _descend(bank, Gradient(bank, weigh, len(x)), draw, recipe)
    return _trained(bank, settings, seeds, lambda at: losses(bank.part(at), *draw(at)[:1], weigh[at], weight[at]))


def untrained(settings: int, seeds: int, n: int, m: int, *, seed: int) -> Tensor:
    """W [settings, seeds, n, m] before training, the control of what geometry says."""
    generator = torch.Generator().manual_seed(seed)
    return make_bank(settings * seeds, n, m, linear=False, generator=generator).W.view(settings, seeds, n, m)


def rate(step: int, recipe: Recipe) -> float:
    """Constant over the first half of the steps, then linearly to zero."""
    return recipe.lr * min(1.0, 2 * (1 - step / recipe.steps))


def _descend(bank: ToyModels, gradient: Gradient, draw: Draw, recipe: Recipe) -> None:
    parameter = torch.nn.Parameter(bank.packed)
    parameter.grad = gradient.packed
    adam = torch.optim.Adam([parameter], lr=recipe.lr, fused=True)
    with torch.no_grad():
        for step in progress.watched(range(recipe.steps), "training steps"):
            adam.param_groups[0]["lr"] = rate(step, recipe)
            gradient(draw)
            adam.step()


@torch.no_grad()
def _trained(bank: ToyModels, settings: int, seeds: int, loss: Callable[[slice], Tensor]) -> ToyTrained:
    values = torch.cat([loss(slice(at, at + 1)) for at in range(bank.models)])
    return ToyTrained(*(part.cpu().view(settings, seeds, *part.shape[1:]) for part in (bank.W, bank.b, values)))


def _each(rows: Tensor, seeds: int) -> Tensor:
    return rows.repeat_interleave(seeds, 0)
