"""Gaussian corruption of the subject's embeddings (Meng et al. 2022, section 2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def gaussian(
    samples: int, width: int, d_embed: int, columns: Sequence[int], scale: float, generator: torch.Generator
) -> Float[Tensor, "samples width d_embed"]:
    """One draw of `samples` noises of standard deviation `scale`, zero outside `columns`; every cell shares it."""
    noise = torch.zeros(samples, width, d_embed)
    noise[:, list(columns)] = scale * torch.randn(samples, len(columns), d_embed, generator=generator)
    return noise
