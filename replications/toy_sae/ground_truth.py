"""The toy data: more unit directions than dimensions, a few of them active at a time (Sharkey et al. 2022).

Constants are those of the public replication, HoagyC/sparse_coding at 69c5ae0, replicate_toy_models.py: 512 Gaussian
unit vectors in 256 dimensions, 5 active on average, probabilities that fall as 0.99^i, strengths uniform on [0, 1], a
random feature switched on where none is. A batch depends on its seed and its number only, so a resumed run sees the
same ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from replications.dictionaries.seeds import generator

DECAY = 0.99  # of the probability from one feature to the next
ACTIVE = 5  # features of an input, on average


@dataclass(frozen=True)
class GroundTruth:
    """`features` [G, d], rows of norm 1, and the probability of each to be active [G].

    `correlation` [G, G] is the Cholesky factor of a random correlation matrix, None for independent features.
    """

    features: Tensor
    probability: Tensor
    correlation: Tensor | None
    seed: int

    def to(self, device: str) -> GroundTruth:
        """The same on a device."""
        moved = None if self.correlation is None else self.correlation.to(device)
        return GroundTruth(self.features.to(device), self.probability.to(device), moved, self.seed)


def make_truth(n_features: int, d: int, seed: int, *, correlated: bool = False) -> GroundTruth:
    """Random directions; probabilities proportional to DECAY^i that sum to ACTIVE."""
    features = normalize(torch.randn(n_features, d, generator=generator("toy features", seed)), dim=1)
    falling = DECAY ** torch.arange(n_features, dtype=torch.float32)
    factor = correlation_factor(n_features, seed) if correlated else None
    return GroundTruth(features, ACTIVE * falling / falling.sum(), factor, seed)


def correlation_factor(n: int, seed: int) -> Tensor:
    """Cholesky factor of the replication's correlation matrix: uniform, symmetric, made positive, unit diagonal."""
    entries = torch.rand(n, n, generator=generator("toy correlation", seed), dtype=torch.float64)
    matrix = (entries + entries.T) / 2
    lowest = torch.linalg.eigvalsh(matrix)[0].clamp(max=0)
    matrix -= 1.001 * lowest * torch.eye(n, dtype=torch.float64)
    scale = matrix.diagonal().rsqrt()
    return torch.linalg.cholesky(matrix * scale * scale[:, None]).float()


def codes(truth: GroundTruth, batch: int, number: int | str) -> Tensor:
    """Strengths [batch, G] of one batch, most of them 0; never a row without any."""
    draws = generator("toy inputs", truth.seed, number)
    shape = (batch, len(truth.features))
    u = torch.rand(shape, generator=draws).to(truth.features.device)
    chance = chances(truth, batch, draws)
    strength = torch.where(u < chance, u / chance, 0.0)  # given that u is below the chance, u / chance is uniform
    empty = (strength == 0).all(1)
    spare, some = torch.randint(shape[1], (batch,), generator=draws), torch.rand(batch, generator=draws)
    strength[empty, spare.to(u.device)[empty]] = some.to(u.device)[empty]
    return strength


def chances(truth: GroundTruth, batch: int, draws: torch.Generator) -> Tensor:
    """Probabilities [batch or 1, G]. Correlated: each times twice the Gaussian rank of its feature in that input."""
    if truth.correlation is None:
        return truth.probability[None]
    normal = torch.randn(batch, len(truth.features), generator=draws).to(truth.features.device)
    rank = torch.special.ndtr(normal @ truth.correlation.T)  # uniform on [0, 1], correlated between features
    return 2 * rank * truth.probability


def activations(truth: GroundTruth, batch: int, number: int | str) -> Tensor:
    """Inputs [batch, d] of the autoencoders."""
    return codes(truth, batch, number) @ truth.features
