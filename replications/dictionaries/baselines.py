"""Dictionaries that learned nothing sparse: principal components and random directions, with the same k active.

Both encode by the k largest products with their own directions. A principal component comes with both signs, so that
twice the width is all there are; more features than that repeat nothing and are left out.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from replications.dictionaries.sae import Dictionary
from replications.dictionaries.seeds import generator


def principal(x: Float[Tensor, "n d"], h: int, k: int) -> Dictionary:
    """The h / 2 leading principal directions of some activations, at most d of them, with both signs."""
    mean = x.mean(dim=0)
    centred = (x - mean).double()
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    rows = vectors.T.flip(0)[: h // 2].to(x.dtype)
    return _tied(torch.cat([rows, -rows]), mean, k, "pca")


def random(x: Float[Tensor, "n d"], h: int, k: int, seed: int) -> Dictionary:
    """h random directions."""
    rows = torch.randn(h, x.shape[1], generator=generator("random dictionary", seed)).to(x.device)
    return _tied(rows / rows.norm(dim=-1, keepdim=True), x.mean(dim=0), k, "random")


def _tied(rows: Float[Tensor, "h d"], mean: Float[Tensor, " d"], k: int, name: str) -> Dictionary:
    bias = rows.new_zeros(len(rows))
    return Dictionary("topk", rows.T.contiguous(), bias, rows, mean, k=min(k, len(rows)), info={"training": name})
