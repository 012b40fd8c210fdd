"""Inputs of the toy models: a feature is zero with probability S, else uniform on [0, 1] (Elhage et al., section 2).

Two ways to average over them. Samples, for any number of features: the same uniform numbers serve every density, so
that models of different densities see the same draws. Quadrature, for two or three features: all inputs at once, a
weight for each, and no noise left even where one input in a hundred is not zero.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch import Tensor


def sample(uniform: Tensor, density: Tensor, out: Tensor | None = None) -> Tensor:
    """Inputs from numbers u uniform on [0, 1]: max(0, 1 - u / p) is 0 with probability 1 - p, else uniform.

    `density` p is positive and broadcasts against `uniform`; `out` may be `uniform` itself.
    """
    return torch.addcmul(torch.ones(()), uniform, density.reciprocal(), value=-1, out=out).clamp_(min=0)


def quadrature(n: int, nodes: int) -> tuple[Tensor, Tensor]:
    """All inputs x [points, n] whose coordinates are 0 or a Gauss-Legendre node, and parts [points, n, 2].

    `parts` is what `weights` needs: per coordinate, which of (zero, not zero) it is, times the node's weight.
    """
    x, w = np.polynomial.legendre.leggauss(nodes)
    axis = torch.tensor([0.0, *((x + 1) / 2)], dtype=torch.float32)
    part = torch.zeros(nodes + 1, 2)
    part[0, 0], part[1:, 1] = 1, torch.from_numpy(w / 2)
    at = torch.tensor(list(itertools.product(range(nodes + 1), repeat=n)))
    return axis[at], part[at]


def weights(parts: Tensor, density: Tensor) -> Tensor:
    """Probability weights [models, points] of the quadrature's points for densities [models, n]; rows sum to 1."""
    chance = torch.stack([1 - density, density], dim=-1)  # [models, n, 2]
    return torch.einsum("pnk,mnk->mpn", parts, chance).prod(-1)


def mean_square(density: float) -> float:
    """E[x^2] of one feature."""
    return density / 3


def variance(density: float) -> float:
    """What a feature costs that is not represented at all: its bias gives the mean, density / 2."""
    return mean_square(density) - density**2 / 4


def pair_error(density: float) -> float:
    """E[min(x, y)^2], what each of two antipodal features costs: they disturb each other when both are there."""
    return density**2 / 6


def log_spaced(dense: float, sparse: float, count: int) -> list[float]:
    """Densities from `dense` down to `sparse`, evenly spaced in their logarithm."""
    step = math.log(sparse / dense) / (count - 1)
    return [dense * math.exp(step * i) for i in range(count)]
