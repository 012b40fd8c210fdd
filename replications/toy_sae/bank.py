"""Autoencoders of one size, one per L1 coefficient, trained on the same inputs with their gradients by hand.

The recipe of the public replication of Sharkey et al. 2022 (HoagyC/sparse_coding at 69c5ae0): ReLU encoder with bias,
decoder without bias and with rows of norm 1, Adam. Loss per input: |x - x'|^2 + l1 |c|_1; the published form divides
the first by d and the second by the dictionary's size, see `l1_of`.

A gradient touches active units only. While a coefficient's units are mostly active its products are dense matrices;
once few are, four of the five products of a step run over the active entries alone (`dictionaries.codes`).
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
from replications.dictionaries.seeds import generator


def l1_of(alpha: float, d: int, h: int) -> float:
    """Coefficient per input of the published loss, mean squared error over d + alpha |c|_1 / h, times d."""
    return alpha * d / h


class ToyBank:
    """`W_enc` [m, h, d], `W_dec` [m, h, d], one row per unit, and `b_enc` [m, h] of m autoencoders, views of one
    vector.

    `l1` [m] rises, so that the members with the most active units come first.
    """

    def __init__(self, d: int, h: int, l1: Sequence[float], *, lr: float, seed: int, device: str = "cpu") -> None:
        m = len(l1)
        self.shape, self.l1 = (m, d, h), torch.tensor(l1, device=device)
        self.packed = torch.nn.Parameter(torch.empty(m * h * (2 * d + 1), device=device))
        self.packed.grad = torch.zeros_like(self.packed)
        self.W_enc, self.W_dec, self.b_enc = self._views(self.packed.data)
        self._grads = self._views(self.packed.grad)
        self.adam = torch.optim.Adam([self.packed], lr=lr, fused=True)
        self._start(seed)

    def _views(self, packed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        m, d, h = self.shape
        size = m * d * h
        return packed[:size].view(m, h, d), packed[size : 2 * size].view(m, h, d), packed[2 * size :].view(m, h)

    def _start(self, seed: int) -> None:
        """Every coefficient starts from the same weights: PyTorch's linear encoder, orthogonal decoder."""
        _, d, h = self.shape
        draws = generator("toy weights", seed, h)
        bound = d**-0.5
        self.W_enc[:] = torch.empty(h, d).uniform_(-bound, bound, generator=draws).to(self.W_enc.device)
        self.b_enc[:] = torch.empty(h).uniform_(-bound, bound, generator=draws).to(self.W_enc.device)
        rows = torch.nn.init.orthogonal_(torch.empty(d, h), generator=draws).T
        self.W_dec[:] = normalize(rows, dim=1).to(self.W_dec.device)

    @torch.no_grad()
    def step(self, x: Tensor, lr: float) -> None:
        """One step of every member on a batch x [n, d]."""
        pre = self._pre(x)
        none = pre.new_zeros(pre.shape[:2])
        first, count = self._split(pre, none)
        if first:
            self._differentiate(slice(0, first), x, Dense(pre[:first].relu_()))
        if first < len(pre):
            self._differentiate(slice(first, None), x, Sparse.of(pre[first:], none[first:], count[first:]))
        self.adam.param_groups[0]["lr"] = lr
        self.adam.step()
        normalize(self.W_dec, dim=2, out=self.W_dec)

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

    def _differentiate(self, at: slice, x: Tensor, c: Codes) -> None:
        """Gradients of some members, whose units are c."""
        W_dec, n = self.W_dec[at], len(x)
        g_enc, g_dec, g_bias = (part[at] for part in self._grads)
        e = c.decode(W_dec).sub_(x).mul_(2 / n)
        c.onto(e, out=g_dec)
        g = c.back(e, W_dec, self.l1[at] / n)
        g.onto(x[None], out=g_enc)
        g.total(out=g_bias)

    def encode(self, x: Tensor) -> Tensor:
        """Units [m, n, h] of inputs x [n, d]."""
        return self._pre(x).relu_()

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on."""
        held = {"packed": self.packed.detach()}
        return held | {name: value for name, value in self.adam.state[self.packed].items()}

    def restore(self, held: Mapping[str, Tensor]) -> None:
        """Go on from `state()`."""
        self.packed.data.copy_(held["packed"])
        moments = {name: held[name] for name in ("step", "exp_avg", "exp_avg_sq")}
        self.adam.state[self.packed] = {name: value.to(self.packed.device) for name, value in moments.items()}
