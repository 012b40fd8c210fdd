"""The toy model x' = ReLU(x W W^T + b) and its linear control, many at once, with their gradients by hand.

W [models, n, m] has one row per feature, as in the paper's figures. All parameters of all models lie in one vector, so
that one call of the optimiser moves them. Elhage et al. 2022, section 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Draw = Callable[[slice], tuple[Tensor, Tensor | None]]
CACHED = 1 << 17  # numbers of one tensor of a batch; three of them, 1.5 MB, are about what a core's cache holds


@dataclass(frozen=True)
class ToyModels:
    """Independent toy models of one shape; `W` [models, n, m] and `b` [models, n] are views of `packed`."""

    packed: Tensor
    W: Tensor
    b: Tensor
    linear: bool = False

    @property
    def models(self) -> int:
        """How many there are."""
        return len(self.W)

    def part(self, at: slice) -> ToyModels:
        """Some of the models, for reading only."""
        return ToyModels(self.packed, self.W[at], self.b[at], self.linear)

    def to(self, device: str) -> ToyModels:
        """The same models on a device."""
        models, n, m = self.W.shape
        return _views(self.packed.to(device), models, n, m, self.linear)


def make_bank(models: int, n: int, m: int, *, linear: bool, generator: torch.Generator) -> ToyModels:
    """Untrained models: normal W of variance 2 / (n + m) (Glorot), as in the released notebook; b = 0."""
    bank = _views(torch.zeros(models * n * (m + 1)), models, n, m, linear)
    bank.W.normal_(0, math.sqrt(2 / (n + m)), generator=generator)
    return bank


def _views(packed: Tensor, models: int, n: int, m: int, linear: bool) -> ToyModels:
    size = models * n * m
    return ToyModels(packed, packed[:size].view(models, n, m), packed[size:].view(models, n), linear)


def outputs(bank: ToyModels, x: Tensor) -> Tensor:
    """x' [models, batch, n] of inputs x [models, batch, n]."""
    y = torch.baddbmm(bank.b[:, None], x @ bank.W, bank.W.transpose(1, 2))
    return y if bank.linear else y.relu_()


def losses(bank: ToyModels, x: Tensor, importance: Tensor, weight: Tensor | None = None) -> Tensor:
    """Expected importance-weighted squared error [models] over the batch; `weight` [models, batch] sums to 1."""
    error = (outputs(bank, x) - x).square_() @ importance[..., None]
    error = error.squeeze(-1)
    return error.mean(1) if weight is None else (error * weight).sum(1)


class Gradient:
    """The gradient of `losses` in all parameters, written into `packed` [like bank.packed].

    Models are taken a few at a time, as many as leave a batch's numbers in the processor's cache.
    """

    def __init__(self, bank: ToyModels, importance: Tensor, batch: int):
        """`importance` [models, n]."""
        self.bank, self.importance = bank, importance[..., None]
        self.packed = torch.empty_like(bank.packed)
        size = bank.W.numel()
        self.W = self.packed[:size].view_as(bank.W)
        self.b = self.packed[size:].view_as(bank.b)
        n = bank.W.shape[1]
        together = max(1, CACHED // (batch * n))
        self.slices = [slice(at, min(at + together, bank.models)) for at in range(0, bank.models, together)]
        self._y, self._e = torch.empty(2, min(together, bank.models), batch, n, device=bank.packed.device)
        self._h, self._g = torch.empty(2, min(together, bank.models), batch, bank.W.shape[2], device=bank.packed.device)

    def __call__(self, draw: Draw) -> None:
        """`draw(at)` gives inputs [k, batch, n] of a slice of models and their weights [k, batch] as in `losses`."""
        for at in self.slices:
            self._write(at, *draw(at))
        self.b.mul_(self.importance[..., 0])

    def _write(self, at: slice, x: Tensor, weight: Tensor | None) -> None:
        """With e the error where the ReLU lets it through and I the importances: dL/dW = x^T (e I W) + I (e^T x W)."""
        W, important = self.bank.W[at], self.importance[at]
        h, y, e, g = (part[: len(W)] for part in (self._h, self._y, self._e, self._g))
        torch.bmm(x, W, out=h)
        torch.baddbmm(self.bank.b[at, None], h, W.transpose(1, 2), out=y)
        torch.sub(y if self.bank.linear else y.relu_(), x, out=e)
        if not self.bank.linear:
            torch.ops.aten.threshold_backward.grad_input(e, y, 0, grad_input=e)
        e.mul_(2 / x.shape[1] if weight is None else 2 * weight[..., None])
        torch.bmm(x.transpose(1, 2), torch.bmm(e, important * W, out=g), out=self.W[at])
        self.W[at].addcmul_(important, e.transpose(1, 2) @ h)
        torch.sum(e, 1, out=self.b[at])
