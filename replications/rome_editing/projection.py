"""What is done to an MLP's output projection (`families.projection`), the matrix that an edit changes.

A key is what goes into it, a value what comes out (Meng et al. 2022, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replications.models.families import as_map

# keys [token, d_mlp], values [token, d_model] -> other values, or None
Write = Callable[[Tensor, Tensor], Tensor | None]


@torch.no_grad()
def add_rank_one(module: nn.Module, u: Float[Tensor, " d_mlp"], lam: Float[Tensor, " d_model"]) -> None:
    """W' = W + Λ uᵀ in the paper's orientation, in place."""
    as_map(module).add_(torch.outer(u, lam))


@contextmanager
def restored(module: nn.Module) -> Iterator[nn.Module]:
    """Whatever is done to the weight within this block, it has the same bits again afterwards."""
    weight: Any = module.weight
    before = weight.detach().clone()
    try:
        yield module
    finally:
        with torch.no_grad():
            weight.copy_(before)


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
