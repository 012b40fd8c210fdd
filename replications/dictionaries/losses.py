"""The model's own loss with an activation replaced: by a reconstruction, by zero, by its mean.

Whole forward passes with a hook, for any family. The first position is left as it is, as in training: no dictionary has
seen it, and every model falls apart without it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from replications.dictionaries.stream import Site, at_site
from replications.evidence.stats import Array

Replace = Callable[[Float[Tensor, "n d"]], Float[Tensor, "n d"]]


def zero(x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Zero ablation."""
    return torch.zeros_like(x)


def constant(value: Float[Tensor, " d"]) -> Replace:
    """Mean ablation: the same value everywhere."""
    return lambda x: value.expand_as(x)


@torch.no_grad()
def window_losses(
    hf_model: Any, tokens: Int[Tensor, "w T"], site: Site | None = None, replace: Replace | None = None, batch: int = 8
) -> Array:
    """Mean -log P (nats) of each window's tokens from the third on: those that a replaced position helps to predict."""
    device = next(hf_model.parameters()).device
    hook = (
        nullcontext()
        if site is None or replace is None
        else at_site(hf_model, site, partial(_after_first, replace=replace))
    )
    found = []
    with hook:
        for part in tokens.split(batch):
            part = part.to(device)
            logits = hf_model(input_ids=part, use_cache=False).logits[:, 1:-1]
            losses = cross_entropy(logits.flatten(0, 1).float(), part[:, 2:].flatten(), reduction="none")
            found.append(losses.view(len(part), -1).mean(dim=1).cpu())
    return torch.cat(found).numpy().astype(np.float64)


def _after_first(value: Float[Tensor, "n T d"], replace: Replace) -> Float[Tensor, "n T d"]:
    new = value.clone()
    new[:, 1:] = replace(value[:, 1:].reshape(-1, value.shape[-1])).view_as(value[:, 1:])
    return new
