"""What W looks like: which features are represented, how much of a dimension each has, and what figure they form.

Elhage et al. 2022: D* = m / ||W||_F^2 and D_i = ||W_i||^2 / sum_j (unit W_i . W_j)^2 (the section on geometry). Figures
in the plane are named automatically, by the angles between neighbouring features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

REPRESENTED = 0.5  # length above which a feature counts as represented: half of what a feature of its own would have
ANGLE = 9.0  # degrees; half of what lies between the pentagon's 72 and the square's 90
FIGURES = {
    (90, 270): "orthogonal",
    (180, 180): "digon",
    (120, 120, 120): "triangle",
    (90, 90, 90, 90): "antipodal_pairs",
    (72, 72, 72, 72, 72): "pentagon",
}
NONE, ONE, OTHER = "none", "one", "other"
LABELS = (*FIGURES.values(), ONE, NONE, OTHER)


def represented(W: Tensor) -> Tensor:
    """Which features [..., n] of W [..., n, m] are longer than REPRESENTED."""
    return W.norm(dim=-1) > REPRESENTED


def figure(W: Tensor) -> str:
    """Name of the figure that the represented features of W [n, 2] form; `other` for what has no name."""
    kept = W[represented(W)]
    if len(kept) < 2:
        return ONE if len(kept) else NONE
    gaps = angle_gaps(kept)
    for angles, name in FIGURES.items():
        if len(angles) == len(gaps) and all(abs(a - g) <= ANGLE for a, g in zip(angles, gaps, strict=True)):
            return name
    return OTHER


def angle_gaps(W: Tensor) -> list[float]:
    """Angles between neighbours [degrees], in increasing order, going once round the rows of W [k, 2]."""
    around = sorted(math.degrees(math.atan2(y, x)) for x, y in W.tolist())
    return sorted((b - a) % 360 for a, b in zip(around, [*around[1:], around[0] + 360], strict=True))


def bipyramid(k: int) -> Tensor:
    """A regular polygon of k features and two on its axis [k + 2, 3]."""
    angles = torch.arange(k) * (2 * math.pi / k)
    ring = torch.stack([angles.cos(), angles.sin(), torch.zeros(k)], dim=1)
    return torch.cat([ring, torch.tensor([[0, 0, 1.0], [0, 0, -1.0]])])


def dimensions_per_feature(W: Tensor) -> Tensor:
    """D* = m / ||W||_F^2 [...] of W [..., n, m]."""
    return W.shape[-1] / W.square().sum((-2, -1))


def dimensionality(W: Tensor) -> Tensor:
    """D_i [..., n], the share of a dimension that feature i has to itself; 0 for a feature of no length.

    Twice as many features as dimensions in antipodal pairs give 1/2, a pentagon in the plane 2/5, and so on.
    """
    squared = (W @ W.transpose(-1, -2)).square()  # (W_i . W_j)^2
    length = W.square().sum(-1)
    return length.square() / squared.sum(-1).clamp(min=1e-12)


def interference(W: Tensor) -> Tensor:
    """sum over j != i of (unit W_i . W_j)^2 [..., n]: how much of the other features a feature lies on."""
    product = W @ W.transpose(-1, -2)
    own = product.diagonal(dim1=-2, dim2=-1)
    return (product.square().sum(-1) - own.square()) / own.clamp(min=1e-12)


def vulnerability(W: Tensor) -> Tensor:
    """||W W^T||_F^2 / ||W||_F^2 [...]: how far the best attacks on single features carry, features weighted by
    ||W_i||^2.

    An adversary who may move the input by a small step of length e raises the pre-activation of feature i by at most
    e ||(W W^T)_i||, and its squared error by the square of that. Features that have a dimension each give 1.
    """
    return (W @ W.transpose(-1, -2)).square().sum((-2, -1)) / W.square().sum((-2, -1))
