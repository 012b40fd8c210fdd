"""The MLP's output projection: the matrix that an edit changes, wherever an architecture keeps it.

A key is what goes into it, a value what comes out (Meng et al. 2022, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replications.errors import Refusal

PATHS = {
    "gpt2": "transformer.h.{}.mlp.c_proj",
    "gptj": "transformer.h.{}.mlp.fc_out",
    "gpt_neox": "gpt_neox.layers.{}.mlp.dense_4h_to_h",
    "llama": "model.layers.{}.mlp.down_proj",
    "qwen2": "model.layers.{}.mlp.down_proj",
    "gemma3_text": "model.layers.{}.mlp.down_proj",
    "opt": "model.decoder.layers.{}.fc2",
}

# keys [token, d_mlp], values [token, d_model] -> other values, or None
Write = Callable[[Tensor, Tensor], Tensor | None]


def projection(hf_model: Any, layer: int) -> nn.Module:
    """The module. Refuses an architecture whose projection this file does not name."""
    kind = hf_model.config.model_type
    if kind not in PATHS:
        raise Refusal(f"{kind}: where is the MLP's output projection? Its path is missing in {__name__}.PATHS")
    return hf_model.get_submodule(PATHS[kind].format(layer))


def as_map(module: nn.Module) -> Float[Tensor, "d_mlp d_model"]:
    """Its weight, such that value = key @ weight + bias, as a view; transformers' Conv1D already stores it so."""
    return module.weight.T if isinstance(module, nn.Linear) else module.weight


@torch.no_grad()
def add_rank_one(module: nn.Module, u: Float[Tensor, " d_mlp"], lam: Float[Tensor, " d_model"]) -> None:
    """W' = W + Λ uᵀ in the paper's orientation, in place."""
    as_map(module).add_(torch.outer(u, lam))


@contextmanager
def restored(module: nn.Module) -> Iterator[nn.Module]:
    """Whatever is done to the weight within this block, it has the same bits again afterwards."""
    before = module.weight.detach().clone()
    try:
        yield module
    finally:
        with torch.no_grad():
            module.weight.copy_(before)


@contextmanager
def watched(module: nn.Module, write: Write) -> Iterator[None]:
    """Within this block `write` sees keys and values as flat lists of tokens, and may replace the values."""

    def hook(_: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor | None:
        new = write(inputs[0].reshape(-1, inputs[0].shape[-1]), out.reshape(-1, out.shape[-1]))
        return None if new is None else new.view_as(out)

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
