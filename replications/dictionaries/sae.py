"""A dictionary of features: what turns an activation into features, and features back into an activation.

    f = act((x - b_dec) W_enc + b_enc)        x' = f W_dec + b_dec

`act` is ReLU (`standard`, Bricken et al. 2023), the k largest (`topk`, Gao et al. 2024), or everything above a
threshold (`batch_topk` after training, Bussmann et al. 2024, section 3; SAELens calls it jumprelu).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

Kind = Literal["standard", "topk", "batch_topk"]
KINDS: tuple[Kind, ...] = ("standard", "topk", "batch_topk")
TENSORS = ("W_enc", "b_enc", "W_dec", "b_dec")


@dataclass(frozen=True)
class Dictionary:
    """h features of activations of width d, in the activations' own units; rows of `W_dec` are directions.

    `k` belongs to topk, `threshold` to batch_topk. `info` is what travels along: model, hook point, layer, training.
    """

    kind: Kind
    W_enc: Float[Tensor, "d h"]
    b_enc: Float[Tensor, " h"]
    W_dec: Float[Tensor, "h d"]
    b_dec: Float[Tensor, " d"]
    k: int | None = None
    threshold: Float[Tensor, " h"] | None = None
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def d(self) -> int:
        """Width of the activations."""
        return self.W_enc.shape[0]

    @property
    def h(self) -> int:
        """Number of features."""
        return self.W_enc.shape[1]

    def to(self, device: str) -> Dictionary:
        """The same on another device."""
        held = {each.name: getattr(self, each.name) for each in fields(self)}
        moved: dict[str, Any] = {name: v.to(device) for name, v in held.items() if isinstance(v, Tensor)}
        return replace(self, **moved)

    def encode(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n h"]:
        """Feature activations, none of them negative."""
        pre = torch.addmm(self.b_enc - self.b_dec @ self.W_enc, x, self.W_enc)
        own: Any = self.k if self.kind == "topk" else self.threshold  # what its kind needs is there
        if self.kind == "topk":
            return keep_top(pre, own)
        return pre.relu_() if self.kind == "standard" else torch.where(pre > own, pre, 0.0).relu_()

    def decode(self, f: Float[Tensor, "n h"]) -> Float[Tensor, "n d"]:
        """The activation that these features add up to."""
        return torch.addmm(self.b_dec, f, self.W_dec)

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Reconstruction of an activation."""
        return self.decode(self.encode(x))

    def in_units_of(self, scale: float) -> Dictionary:
        """The dictionary for activations of which this one's are `scale` times as large; directions stay as they are.

        Exact, since ReLU, top-k and a threshold that is scaled along all commute with a positive factor.
        """
        threshold = None if self.threshold is None else self.threshold / scale
        return replace(self, b_enc=self.b_enc / scale, b_dec=self.b_dec / scale, threshold=threshold)


def keep_top(pre: Float[Tensor, "... h"], k: int) -> Float[Tensor, "... h"]:
    """The k largest of each row, if positive; 0 elsewhere (Gao et al. 2024, section 2.3, with SAELens' ReLU)."""
    top = pre.topk(k, dim=-1, sorted=False)
    return torch.zeros_like(pre).scatter_(-1, top.indices, top.values.relu_())
