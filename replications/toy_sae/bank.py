"""Autoencoders of one size, one per L1 coefficient, trained on the same inputs with their gradients by hand.

The recipe of the public replication of Sharkey et al. 2022 (HoagyC/sparse_coding at 69c5ae0): ReLU encoder with bias,
decoder without bias and with rows of norm 1, Adam. Loss per input: |x - x'|^2 + l1 |c|_1; the published form divides
the first by d and the second by the dictionary's size, see `l1_of`.

A gradient touches active units only. While a coefficient's units are mostly active its products are dense matrices;
once few are, four of the five products of a step run over the active entries alone, and each row of the weights takes
its step as soon as its gradient is summed (`dictionaries.codes`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from replications.dictionaries import codes
from replications.dictionaries.codes import Codes, Dense, Sparse
from replications.dictionaries.descent import DescentStep, ParameterState
from replications.dictionaries.seeds import generator


def l1_of(alpha: float, d: int, h: int) -> float:
    """Coefficient per input of the published loss, mean squared error over d + alpha |c|_1 / h, times d."""
    return alpha * d / h


class ToyBank:
    """m autoencoders: `W_enc` and `W_dec` [m, h, d], one row per unit, and `b_enc` [m, h].

    `l1` [m] rises, so that the members with the most active units come first.
    """

    def __init__(self, d: int, h: int, l1: Sequence[float], *, seed: int, device: str = "cpu") -> None:
        """Every coefficient starts from the same weights: PyTorch's linear encoder, orthogonal decoder."""
        self.l1, self.steps = torch.tensor(l1, device=device), 0
        draws = generator("toy weights", seed, h)
        bound = d**-0.5
        encoder = torch.empty(h, d).uniform_(-bound, bound, generator=draws)
        bias = torch.empty(h).uniform_(-bound, bound, generator=draws)
        decoder = normalize(torch.nn.init.orthogonal_(torch.empty(d, h), generator=draws).T, dim=1)
        self.held = tuple(ParameterState.start(part.to(device).repeat(len(l1), *[1] * part.ndim))
                          for part in (encoder, decoder, bias))  # fmt: skip
        self.W_enc, self.W_dec, self.b_enc = (held.value for held in self.held)

    @torch.no_grad()
    def step(self, x: Tensor, lr: float) -> None:
        """One step of every member on a batch x [n, d]."""
        self.steps += 1
        step, pre = DescentStep(lr, self.steps), self._pre(x)
        none = pre.new_zeros(pre.shape[:2])
        first, count = self._split(pre, none)
        if first:
            self._descend(slice(0, first), x, Dense(pre[:first].relu_()), step)
        if count is not None and first < len(pre):
            self._descend(slice(first, None), x, Sparse.of(pre[first:], none[first:], count[first:]), step)

    def _pre(self, x: Tensor) -> Tensor:
        """Units [m, n, h] before their ReLU."""
        return torch.baddbmm(self.b_enc[:, None], x.expand(len(self.l1), -1, -1), self.W_enc.transpose(1, 2))

    def _split(self, pre: Tensor, least: Tensor) -> tuple[int, NDArray[np.int32] | None]:
        """The first member from which on all are sparse, and how many entries of each input are active."""
        count = codes.counts(pre, least)
        if count is None:
            return len(pre), None
        dense = np.flatnonzero(count.mean(axis=1) >= codes.WORTHWHILE * pre.shape[2])
        return int(dense[-1]) + 1 if len(dense) else 0, count

    def _descend(self, at: slice, x: Tensor, c: Codes, step: DescentStep) -> None:
        """One step of some members, whose units are c."""
        (W_enc, W_dec, b_enc), n = (held.of(at) for held in self.held), len(x)
        e = c.decode(W_dec.value).sub_(x).mul_(2 / n)
        g = c.back(e, W_dec.value, self.l1[at] / n)
        c.descend(e, W_dec, step, unit=True)
        g.descend(x[None], W_enc, step)
        step.down(b_enc, g.total())

    def encode(self, x: Tensor) -> Tensor:
        """Units [m, n, h] of inputs x [n, d]."""
        return self._pre(x).relu_()

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on."""
        parts = {f"{i}.{name}": part for i, held in enumerate(self.held) for name, part in held._asdict().items()}
        return parts | {"steps": torch.tensor(self.steps)}

    def restore(self, held: Mapping[str, Tensor]) -> None:
        """Go on from `state()`."""
        own = self.state()
        self.steps = int(held["steps"])
        for name in own.keys() - {"steps"}:
            own[name].copy_(held[name])
