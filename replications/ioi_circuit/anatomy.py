"""A model as the circuit's parts see it: the engine's layers, and what each head writes into the residual stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from replications.causal.runs import RecordedRun, run
from replications.causal.stack import Stack
from replications.models.load import Loaded

Head = tuple[int, int]  # layer, head
Norm = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Anatomy:
    """`w_o` is by layer the map [head, d_head, d_model] from a head's output z to what it adds to the stream."""

    stack: Stack
    w_o: list[Float[Tensor, "head d_head d_model"]]

    @property
    def n_layers(self) -> int:
        return self.stack.n_layers

    @property
    def n_heads(self) -> int:
        return self.stack.n_heads

    @property
    def heads(self) -> list[Head]:
        """All heads, in order of layers."""
        return [(layer, head) for layer in range(self.n_layers) for head in range(self.n_heads)]

    @property
    def device(self) -> torch.device:
        return self.w_o[0].device

    def final(self, states: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """Residual stream after the last layer -> what is multiplied with the unembedding."""
        return self.stack.family.final(self.stack.model, states)

    def attn_norm(self, layer: int) -> Norm | None:
        """The norm between the heads' summed output and the stream, where there is one (Gemma)."""
        path = self.stack.family.attn_norm
        return None if path is None else self.stack.layers[layer].get_submodule(path)


def anatomy(hf_model: Any) -> Anatomy:
    """Of a transformers model.

    ValueError for an encoder, and for a model that squashes its logits, so that no sum of parts can be a difference of
    logits.
    """
    stack = Stack(hf_model)
    if not stack.causal:
        raise ValueError(f"{stack.config.model_type}: the task is to predict the next token, which an encoder does not")
    if stack.logit_cap is not None:
        raise ValueError(f"{stack.config.model_type}: capped logits are not a sum over heads")
    return Anatomy(stack, [stack.family.w_o(hf_model, layer) for layer in range(stack.n_layers)])


def of(loaded: Loaded) -> Anatomy:
    """Of a loaded catalogue model."""
    return anatomy(loaded.hf_model)


def recorded(anatomy: Anatomy, ids: Sequence[Sequence[int]], sites: Sequence[str]) -> RecordedRun:
    """The unpatched run of equally long rows of token ids."""
    return run(anatomy.stack, torch.tensor(ids, device=anatomy.device), sites=sites)


def seen_through(norm: Norm, x: Float[Tensor, "n d"], w: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """The direction u with x.u = (norm(x) - norm(0)).w when the norm's scale is kept as it is for x.

    So parts of x get their share of a logit (or of what a later norm reads). What the norm multiplies with, and whether
    it subtracts the mean, is read off its answers to three vectors, so LayerNorm, RMSNorm and Gemma's 1 + weight need
    no case of their own; its epsilon is in the scale.
    """
    signs = torch.ones_like(x[:1])
    signs[:, 1::2] = -1  # mean 0 and variance 1, as d is even
    nothing = norm(torch.zeros_like(signs))
    gain = (norm(signs) - nothing) * signs
    centres = torch.allclose(norm(torch.ones_like(signs)), nothing, atol=1e-6)
    out = norm(x) - nothing
    unscaled = _centred(x, centres) * gain
    scale = (unscaled * out).sum(-1, keepdim=True) / out.square().sum(-1, keepdim=True)
    return _centred(w * gain, centres) / scale


def _centred(x: Tensor, centres: bool) -> Tensor:
    return x - x.mean(-1, keepdim=True) if centres else x


def unembedding(anatomy: Anatomy, tokens: Int[Tensor, " n"]) -> tuple[Float[Tensor, "n d"], Float[Tensor, " n"]]:
    """Rows of the unembedding, and their biases (0 where there are none)."""
    head = anatomy.stack.head
    bias = torch.zeros_like(head.weight[tokens, 0]) if head.bias is None else head.bias[tokens]
    return head.weight[tokens], bias
