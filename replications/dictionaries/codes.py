"""Which features are active on a batch, how strongly, and the products of that with weights: dense, or entry by entry.

Four of the five products of a training step only matter where a feature is active. Where few are, sums over the active
entries (`kernels.py`) are faster than dense products; both give the same up to rounding. A GPU is always faster with
dense ones. Axes: member m, input n, feature h, coordinate d; W has one row per feature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from replications.dictionaries import kernels
from replications.dictionaries.descent import DescentStep, ParameterState

WORTHWHILE = 0.25  # share of active entries below which sums over them are faster, measured at d of 256 to 1,536


class Codes(Protocol):
    """Feature activations f [m, n, h], none of them negative, or a gradient in them, which is 0 where f is."""

    @property
    def value(self) -> Tensor:
        """Sums to the sum of f."""

    def decode(self, W: Float[Tensor, "m h d"]) -> Float[Tensor, "m n d"]:
        """f W."""

    def back(self, e: Float[Tensor, "m n d"], W: Float[Tensor, "m h d"], extra: Float[Tensor, " m"]) -> Codes:
        """e W^T + extra where f is active."""

    def onto(self, e: Float[Tensor, "l n d"], out: Float[Tensor, "m h d"] | None = None) -> Float[Tensor, "m h d"]:
        """f^T e; e is each member's own, or the same for all (l = 1)."""

    def descend(
        self, e: Float[Tensor, "l n d"], rows: ParameterState, step: DescentStep, *, unit: bool = False
    ) -> None:
        """One step of Adam on `rows` [m, h, d] down f^T e; `unit` then brings them to norm 1."""

    def total(self) -> Float[Tensor, "m h"]:
        """f summed over the inputs."""

    @property
    def fired(self) -> Bool[Tensor, "m h"]:
        """Features that are active on some input."""


@dataclass(frozen=True)
class Dense:
    """All entries, `value` [m, n, h]."""

    value: Float[Tensor, "m n h"]

    def decode(self, W: Float[Tensor, "m h d"]) -> Float[Tensor, "m n d"]:
        """f W."""
        return torch.bmm(self.value, W)

    def back(self, e: Float[Tensor, "m n d"], W: Float[Tensor, "m h d"], extra: Float[Tensor, " m"]) -> Dense:
        """e W^T + extra where f is active."""
        g = torch.baddbmm(extra.view(-1, 1, 1).expand_as(self.value), e, W.transpose(1, 2))
        return Dense(torch.ops.aten.threshold_backward.grad_input(g, self.value, 0, grad_input=g))

    def onto(self, e: Float[Tensor, "l n d"], out: Float[Tensor, "m h d"] | None = None) -> Float[Tensor, "m h d"]:
        """f^T e."""
        return torch.bmm(self.value.transpose(1, 2), e.expand(len(self.value), -1, -1), out=out)

    def descend(
        self, e: Float[Tensor, "l n d"], rows: ParameterState, step: DescentStep, *, unit: bool = False
    ) -> None:
        """One step of Adam on `rows` [m, h, d] down f^T e; `unit` then brings them to norm 1."""
        step.down(rows, self.onto(e))
        if unit:
            normalize(rows.value, dim=2, out=rows.value)

    def total(self) -> Float[Tensor, "m h"]:
        """f summed over the inputs."""
        return self.value.sum(1)

    @property
    def fired(self) -> Bool[Tensor, "m h"]:
        """Features that are active on some input."""
        return (self.value > 0).any(dim=1)


@dataclass(frozen=True)
class Sparse:
    """The active entries alone, laid out as in `kernels.py`; `value` [m, n, k]."""

    unit: NDArray[np.int32]
    count: NDArray[np.int32]
    start: NDArray[np.int32]
    place: NDArray[np.int32]
    value: Float[Tensor, "m n k"]

    @classmethod
    def of(cls, pre: Float[Tensor, "m n h"], least: Float[Tensor, "m n"], count: NDArray[np.int32]) -> Sparse:
        """The entries of `pre` that are positive and no less than `least`, of which `active` has counted so many."""
        kernels.use_threads()
        unit = kernels.listed(pre.numpy(), least.numpy(), count, max(1, int(count.max())))
        value = torch.from_numpy(kernels.taken(unit, count, pre.numpy()))
        start = np.zeros((len(unit), pre.shape[2] + 1), np.int32)
        place = np.empty((len(unit), int(count.sum(axis=1).max())), np.int32)
        kernels.by_feature(unit, count, start, place)
        return cls(unit, count, start, place, value)

    def decode(self, W: Float[Tensor, "m h d"]) -> Float[Tensor, "m n d"]:
        """f W."""
        threads = kernels.use_threads()
        return torch.from_numpy(kernels.decoded(self.unit, self.count, self.value.numpy(), W.numpy(), threads))

    def back(self, e: Float[Tensor, "m n d"], W: Float[Tensor, "m h d"], extra: Float[Tensor, " m"]) -> Sparse:
        """e W^T + extra where f is active."""
        threads = kernels.use_threads()
        g = kernels.products(self.unit, self.count, e.numpy(), W.numpy(), extra.numpy(), threads)
        return Sparse(self.unit, self.count, self.start, self.place, torch.from_numpy(g))

    def onto(self, e: Float[Tensor, "l n d"], out: Float[Tensor, "m h d"] | None = None) -> Float[Tensor, "m h d"]:
        """f^T e."""
        threads = kernels.use_threads()
        if out is None:
            out = e.new_empty(len(self.unit), self.start.shape[1] - 1, e.shape[2])
        kernels.scattered(self.start, self.place, self.value.numpy(), e.numpy(), out.numpy(), threads)
        return out

    def descend(
        self, e: Float[Tensor, "l n d"], rows: ParameterState, step: DescentStep, *, unit: bool = False
    ) -> None:
        """One step of Adam on `rows` [m, h, d] down f^T e; `unit` then brings them to norm 1."""
        threads = kernels.use_threads()
        held = (part.numpy() for part in rows)
        size = np.float32(step.rate), np.float32(step.root)
        kernels.descended(self.start, self.place, self.value.numpy(), e.numpy(), *held, *size, unit, threads)

    def total(self) -> Float[Tensor, "m h"]:
        """f summed over the inputs."""
        kernels.use_threads()
        return torch.from_numpy(kernels.summed(self.start, self.place, self.value.numpy()))

    @property
    def fired(self) -> Bool[Tensor, "m h"]:
        """Features that are active on some input."""
        return torch.from_numpy(np.diff(self.start, axis=1) > 0)


def counts(pre: Float[Tensor, "m n h"], least: Float[Tensor, "m n"]) -> NDArray[np.int32] | None:
    """How many entries of each input [m, n] are positive and no less than `least`; None on a GPU."""
    if pre.device.type != "cpu":
        return None
    kernels.use_threads()
    return kernels.counted(pre.numpy(), least.numpy())


def active(pre: Float[Tensor, "m n h"], least: Float[Tensor, "m n"]) -> Codes:
    """The entries that are positive and no less than `least`, in the form that is faster for so many. Uses up `pre`."""
    count = counts(pre, least)
    if count is not None and count.mean() < WORTHWHILE * pre.shape[2]:
        return Sparse.of(pre, least, count)
    return Dense(pre.relu_().mul_(pre >= least[..., None]))
