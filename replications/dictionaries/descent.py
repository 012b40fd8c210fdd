"""Adam, on parts of a parameter at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim.adam import adam

BETA, BETA_SQ, EPS = 0.9, 0.999, 1e-8  # torch's defaults


class ParameterState(NamedTuple):
    """A parameter and the moments of its gradient, of one shape [m, ...]."""

    value: Tensor
    mean: Tensor
    square: Tensor

    @classmethod
    def start(cls, value: Tensor) -> ParameterState:
        """No gradient seen yet."""
        return cls(value, torch.zeros_like(value), torch.zeros_like(value))

    def of(self, members: slice) -> ParameterState:
        """Views of some members."""
        return ParameterState(*(part[members] for part in self))


@dataclass(frozen=True)
class DescentStep:
    """Step `number`, counted from 1, at rate `lr`."""

    lr: float
    number: int

    @property
    def rate(self) -> float:
        """What the mean is multiplied by: its first values are too small (Kingma and Ba 2015, section 3)."""
        return self.lr / (1 - BETA**self.number)

    @property
    def root(self) -> float:
        """What the root of the square is multiplied by."""
        return (1 - BETA_SQ**self.number) ** -0.5

    def down(self, held: ParameterState, g: Tensor) -> None:
        """Move a parameter down its gradient g, of its shape; changes its three tensors in place."""
        before = torch.tensor(self.number - 1.0, device=g.device)
        adam([held.value], [g], [held.mean], [held.square], [], [before], fused=True, amsgrad=False, beta1=BETA,
             beta2=BETA_SQ, lr=self.lr, weight_decay=0, eps=EPS, maximize=False)  # fmt: skip
