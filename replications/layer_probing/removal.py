"""Directions that carry a label, and states without them. All in standardised states, one layer per leading index.

Difference of means: the line through the means of both classes. Iterative null-space projection (Ravfogel et al. 2020):
fit a probe, project its direction out, fit the next to what is left. A random subspace of the same rank is the control.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from replications.layer_probing.linear_probes import fit, predictions


def difference_of_means(x: Float[Tensor, "L n d"], labels: Int[Tensor, " n"]) -> Float[Tensor, "L d 1"]:
    """Unit vector from the mean of class 0 to that of class 1."""
    return _unit(x[:, labels == 1].mean(dim=1) - x[:, labels == 0].mean(dim=1))[..., None]


def null_space_projection(
    x: Float[Tensor, "L n d"], labels: Int[Tensor, " n"], *, rank: int, c: float
) -> Float[Tensor, "L d r"]:
    """Orthonormal directions of `rank` probes of two classes, in the order in which they were found.

    The first r columns are what r rounds remove.
    """
    basis = x.new_zeros(*x.shape[::2], 0)
    left = x
    for _ in range(rank):
        probes = fit(left, labels[None], n_classes=2, c=c)
        found = probes.weights[:, 0, 1] - probes.weights[:, 0, 0]
        found = found - torch.einsum("ldr,lr->ld", basis, torch.einsum("ldr,ld->lr", basis, found))
        basis = torch.cat([basis, _unit(found)[..., None]], dim=2)
        left = without(x, basis)
    return basis


def random_subspace(layers: int, d: int, rank: int, generator: torch.Generator) -> Float[Tensor, "L d r"]:
    """Orthonormal directions drawn evenly from all of them."""
    return torch.linalg.qr(torch.randn(layers, d, rank, generator=generator)).Q


def without(x: Float[Tensor, "L n d"], basis: Float[Tensor, "L d r"]) -> Float[Tensor, "L n d"]:
    """The states with their part along the basis set to 0, which is its mean."""
    return x - (x @ basis) @ basis.transpose(1, 2)


def accuracy_after(
    x: Float[Tensor, "L n d"], labels: Tensor, held_out: Float[Tensor, "L m d"], answers: Tensor,
    basis: Float[Tensor, "L d r"], c: float,
) -> Float[Tensor, " L"]:  # fmt: skip
    """Accuracy on held-out states of a fresh probe, when the basis has been removed from all states."""
    probes = fit(without(x, basis), labels[None], n_classes=2, c=c)
    return (predictions(probes, without(held_out, basis))[:, 0] == answers).float().mean(dim=1)


def rounds_needed(
    x: Float[Tensor, "L n d"], labels: Tensor, held_out: Float[Tensor, "L m d"], answers: Tensor,
    basis: Float[Tensor, "L d r"], c: float,
) -> tuple[Int[Tensor, " L"], Float[Tensor, "L r1"]]:  # fmt: skip
    """How many rounds leave a fresh probe at chance on held-out states, per layer, and its accuracy after 0..r rounds.

    Chance is one half and what 95 % of guessers stay below; where it is never reached, all rounds are taken.
    """
    r = basis.shape[2]
    curve = torch.stack([accuracy_after(x, labels, held_out, answers, basis[..., :k], c) for k in range(r + 1)], dim=1)
    chance = 0.5 + 1.645 * (0.25 / len(answers)) ** 0.5
    reached = curve[:, 1:] <= chance
    first = torch.where(reached.any(dim=1), reached.float().argmax(dim=1) + 1, r)
    return first, curve


def _unit(x: Float[Tensor, "L d"]) -> Float[Tensor, "L d"]:
    length = x.norm(dim=1, keepdim=True)
    return torch.where(length > 0, x / length, 0)
