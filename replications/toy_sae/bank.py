"""Autoencoders of one size, one per L1 coefficient, trained on the same inputs with their gradients by hand.

The recipe of the public replication of Sharkey et al. 2022 (HoagyC/sparse_coding at 69c5ae0): ReLU encoder with bias,
decoder without bias and with rows of norm 1, Adam. Loss per input: |x - x'|^2 + l1 |c|_1; the published form divides
the first by d and the second by the dictionary's size, see `l1_of`.

A gradient touches active units only. While a coefficient's units are mostly active its products are dense matrices;
once few are, four of the five products of a step run over the active entries alone. Both ways compute the same sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from replications.dictionaries.seeds import generator

SPARSE_BELOW = 0.06  # share of active units below which the sparse way is faster, measured at d = 256


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
        self.shape, self.l1 = (m, d, h), torch.tensor(l1, device=device).view(m, 1, 1)
        self.packed = torch.nn.Parameter(torch.empty(m * h * (2 * d + 1), device=device))
        self.packed.grad = torch.zeros_like(self.packed)
        self.W_enc, self.W_dec, self.b_enc = self._views(self.packed.data)
        self._grads = self._views(self.packed.grad)
        self.adam = torch.optim.Adam([self.packed], lr=lr, fused=True)
        self.density = torch.ones(m)  # share of active units in the last batch
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
        first = self._split()
        if first:
            self._dense(slice(0, first), x)
        if first < len(self.l1):
            self._sparse(slice(first, None), x)
        self.adam.param_groups[0]["lr"] = lr
        self.adam.step()
        normalize(self.W_dec, dim=2, out=self.W_dec)

    def _split(self) -> int:
        """First member from which on all were sparse in the last batch."""
        dense = (self.density >= SPARSE_BELOW).nonzero()
        return int(dense[-1]) + 1 if len(dense) else 0

    def _dense(self, at: slice, x: Tensor) -> None:
        """Gradients of some members by dense products."""
        W_enc, W_dec, b_enc = self.W_enc[at], self.W_dec[at], self.b_enc[at]
        g_enc, g_dec, g_bias = (part[at] for part in self._grads)
        x, n = x.expand(len(W_enc), -1, -1), len(x)
        c = torch.baddbmm(b_enc[:, None], x, W_enc.transpose(1, 2)).relu_()
        self.density[at] = (c > 0).mean((1, 2), dtype=torch.float32).cpu()
        e = torch.bmm(c, W_dec).sub_(x).mul_(2 / n)
        torch.bmm(c.transpose(1, 2), e, out=g_dec)
        g = torch.baddbmm(self.l1[at].expand_as(c), e, W_dec.transpose(1, 2), beta=1 / n)
        torch.ops.aten.threshold_backward.grad_input(g, c, 0, grad_input=g)
        torch.bmm(g.transpose(1, 2), x, out=g_enc)
        torch.sum(g, 1, out=g_bias)

    def _sparse(self, at: slice, x: Tensor) -> None:
        """The same gradients from active entries only: one dense product, then sums over lists of entries."""
        W_enc, W_dec, b_enc = self.W_enc[at], self.W_dec[at], self.b_enc[at]
        g_enc, g_dec, g_bias = (part[at] for part in self._grads)
        m, n, (_, d, h) = len(W_enc), len(x), self.shape
        pre = torch.baddbmm(b_enc[:, None], x.expand(m, -1, -1), W_enc.transpose(1, 2))
        self.density[at], entry = _active(pre)
        row = entry // h  # of m * n inputs
        member = row // n
        unit = entry - row * h + member * h  # of m * h units
        value = pre.view(-1)[entry]
        by_row = torch.searchsorted(entry, torch.arange(m * n + 1, device=x.device) * h)
        rows = W_dec.reshape(m * h, d)
        out = embedding_bag(unit, rows, by_row, mode="sum", per_sample_weights=value, include_last_offset=True)
        e = out.view(m, n, d).sub_(x).mul_(2 / n).view(m * n, d)
        g = torch.ops.aten._embedding_bag_per_sample_weights_backward(e, rows, unit, by_row[:-1], row, 0)
        g += (self.l1[at].view(-1) / n)[member]
        unit, order = torch.sort(unit, stable=True)
        by_unit = torch.searchsorted(unit, torch.arange(m * h + 1, device=x.device))
        row, value, g = row[order], value[order], g[order]
        g_dec.view(m * h, d).copy_(_sums(row, e, by_unit, value))
        g_enc.view(m * h, d).copy_(_sums(row % n, x, by_unit, g))
        g_bias.view(-1).zero_().index_add_(0, unit, g)

    def encode(self, x: Tensor) -> Tensor:
        """Units [m, n, h] of inputs x [n, d]."""
        return torch.baddbmm(self.b_enc[:, None], x.expand(len(self.l1), -1, -1), self.W_enc.transpose(1, 2)).relu_()

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on."""
        held = {"packed": self.packed.detach(), "density": self.density}
        return held | {name: value for name, value in self.adam.state[self.packed].items()}

    def restore(self, held: Mapping[str, Tensor]) -> None:
        """Go on from `state()`."""
        self.packed.data.copy_(held["packed"])
        self.density = held["density"]
        moments = {name: held[name] for name in ("step", "exp_avg", "exp_avg_sq")}
        self.adam.state[self.packed] = {name: value.to(self.packed.device) for name, value in moments.items()}


def _active(pre: Tensor) -> tuple[Tensor, Tensor]:
    """Share of positive entries of each member of pre [m, n, h], and their places in the flattened tensor, in order."""
    entry = (pre > 0).view(-1).nonzero().squeeze(1)
    size = pre[0].numel()
    counts = torch.bincount(entry // size, minlength=len(pre))
    return (counts / size).cpu(), entry


def _sums(of: Tensor, vectors: Tensor, bounds: Tensor, weight: Tensor) -> Tensor:
    """Weighted sums of vectors[of], one per stretch between the bounds."""
    return embedding_bag(of, vectors, bounds, mode="sum", per_sample_weights=weight, include_last_offset=True)
