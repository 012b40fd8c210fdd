"""Writing into the residual stream: a feature is clamped, or a direction of the same length is added, row by row.

Clamping to c changes an activation x to x + (c - f(x)) u, where u is the feature's decoder row (norm 1) and f(x) what
the feature is at x. The rest of the reconstruction and its error stay as they are (Templeton et al. 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from replications.dictionaries.sae import Dictionary

NO_FEATURE = -1


@dataclass(frozen=True)
class Push:
    """One row's steering: to `target` along `direction` (norm 1), less what `feature` already is there, if any.

    `target` is the budget: the length of the write wherever the feature is off.
    """

    direction: Float[Tensor, " d"]
    target: float
    feature: int = NO_FEATURE


def clamp(dictionary: Dictionary, feature: int, target: float) -> Push:
    """Clamp a feature of the dictionary."""
    return Push(_unit(dictionary.W_dec[feature]), target, feature)


def add(direction: Float[Tensor, " d"], target: float) -> Push:
    """Add a direction, brought to length `target`."""
    return Push(_unit(direction), target)


def none(d: int) -> Push:
    """Leave the row alone."""
    return Push(torch.zeros(d), 0.0)


@dataclass(frozen=True)
class Steering:
    """The pushes of a batch, as a write for `stream.at_site`: row i of an activation [n, T, d] gets push i."""

    dictionary: Dictionary
    direction: Float[Tensor, "n d"]
    target: Float[Tensor, " n"]
    feature: Int[Tensor, " n"]

    @classmethod
    def of(cls, dictionary: Dictionary, pushes: Sequence[Push]) -> Steering:
        """Stack the pushes on the dictionary's device."""
        device = dictionary.W_dec.device
        return cls(
            dictionary,
            torch.stack([push.direction.to(device) for push in pushes]),
            torch.tensor([push.target for push in pushes], device=device),
            torch.tensor([push.feature for push in pushes], device=device),
        )

    def __call__(self, x: Float[Tensor, "n T d"]) -> Float[Tensor, "n T d"]:
        """The steered activations."""
        amount = self.target[:, None] - self.activation(x)
        return x + amount[..., None] * self.direction[:, None]

    def after_first(self, x: Float[Tensor, "n T d"]) -> Float[Tensor, "n T d"]:
        """The same with the first position left alone, which no dictionary has seen."""
        return torch.cat([x[:, :1], self(x[:, 1:])], dim=1)

    def activation(self, x: Float[Tensor, "n T d"]) -> Float[Tensor, "n T"]:
        """What each row's own feature is; 0 in rows that add a direction."""
        n, T, d = x.shape
        index = self.feature.clamp(min=0)
        if self.dictionary.kind == "topk":  # which features are on depends on all of them
            every = self.dictionary.encode(x.reshape(-1, d)).view(n, T, -1)
            found = every.gather(-1, index[:, None, None].expand(n, T, 1))[..., 0]
        else:
            found = self._alone(x, index)
        return torch.where(self.feature[:, None] >= 0, found, 0.0)

    def _alone(self, x: Float[Tensor, "n T d"], index: Int[Tensor, " n"]) -> Float[Tensor, "n T"]:
        rows = self.dictionary.W_enc.T[index]
        pre = torch.einsum("ntd,nd->nt", x - self.dictionary.b_dec, rows) + self.dictionary.b_enc[index, None]
        if self.dictionary.threshold is None:
            return pre.relu()
        return pre.relu() * (pre > self.dictionary.threshold[index, None])


def _unit(direction: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
    return direction / direction.norm().clamp_min(1e-12)
