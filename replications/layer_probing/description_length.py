"""How many bits a probe takes to tell the labels (Voita & Titov 2020, section 2.2: online coding).

The words come in portions. The labels of the first are sent with a uniform code, those of every next one with the probe
that has been fitted to all portions before it. Labels that are easy to read off cost little, and early.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from replications.layer_probing.linear_probes import fit, log_probabilities, scale_of

SHARES = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # where the portions end, as shares of the words


def online_code(
    states: Float[Tensor, "L n d"],
    labels: Int[Tensor, "P n"],
    *,
    n_classes: int,
    c: float,
    shares: Sequence[float] = SHARES,
) -> Float[Tensor, "L P n"]:
    """Bits that each label costs, in the words' order; their sum is the description length. Uniform: log2(n_classes).

    Every portion has its own standardisation, from the words that were already sent.
    """
    ends = portions(states.shape[1], shares)
    bits = torch.full((len(states), *labels.shape), torch.tensor(n_classes).log2().item())
    for begin, end in pairwise(ends):
        scale = scale_of(states[:, :begin])
        probes = fit(scale(states[:, :begin]), labels[:, :begin], n_classes=n_classes, c=c)
        log_p = log_probabilities(probes, scale(states[:, begin:end]))
        own = labels[None, :, begin:end, None].expand(len(states), -1, -1, -1)
        bits[:, :, begin:end] = -log_p.gather(3, own)[..., 0] / torch.tensor(2.0).log()
    return bits


def portions(n: int, shares: Sequence[float] = SHARES) -> list[int]:
    """Numbers of words at which the portions end; none is empty."""
    return sorted({min(n, max(1, round(n * share))) for share in shares})
