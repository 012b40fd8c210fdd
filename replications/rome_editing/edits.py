"""What an edit does to the values that pass by, and how a rank-one update follows from a key and a value.

Meng et al. 2022, section 3.1: W' = W + Λ (C⁻¹k*)ᵀ with Λ = (v* - Wk*) / ((C⁻¹k*)ᵀ k*), so that W'k* = v*.
Biases cancel: v* and Wk* both have them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from replications.rome_editing.packed import Passing, ProjectionEdit

RIDGES = (0.0, *(10.0**power for power in range(-8, 0)))  # of the mean diagonal: the first that makes C invertible


def at_subject(delta: Float[Tensor, "r d_model"]) -> ProjectionEdit:
    """Adds delta[i] to the value at the last subject token of copy i: what v* is sought with."""

    def write(keys: Tensor, values: Tensor, live: Passing) -> Tensor:
        return values.index_add(0, live.subject, delta)

    return write


def rank_one(u: Float[Tensor, "r d_mlp"], lam: Float[Tensor, "r d_model"]) -> ProjectionEdit:
    """The values as if copy i had run with W + lam[i] u[i]ᵀ: every copy has its own edited weight, none is written."""

    def write(keys: Tensor, values: Tensor, live: Passing) -> Tensor:
        return values + (keys * u[live.owner]).sum(-1, keepdim=True) * lam[live.owner]

    return write


def directions(moment: Float[Tensor, "d_mlp d_mlp"], keys: Float[Tensor, "n d_mlp"]) -> Float[Tensor, "n d_mlp"]:
    """C⁻¹k* of each key, solved in float64.

    Where C has no Cholesky factor, as with fewer tokens than it is wide, it gets the smallest ridge that gives it one.
    """
    double = moment.double()
    unit = double.diagonal().mean() * torch.eye(len(double), dtype=double.dtype, device=double.device)
    for ridge in RIDGES:
        factor, failed = torch.linalg.cholesky_ex(double + ridge * unit)
        if not failed:
            return torch.cholesky_solve(keys.double().T, factor).T.to(keys.dtype)
    raise ValueError("the second moment of the keys is not positive, not even with a ridge of a tenth of its diagonal")


def multiplier(
    u: Float[Tensor, "n d_mlp"], key: Float[Tensor, "n d_mlp"], value: Float[Tensor, "n d_model"],
    target: Float[Tensor, "n d_model"],
) -> Float[Tensor, "n d_model"]:  # fmt: skip
    """Λ such that `key`, whose value is `value`, gets `target`."""
    return (target - value) / (u * key).sum(-1, keepdim=True)


def relative_norm(
    u: Float[Tensor, "n d_mlp"], lam: Float[Tensor, "n d_model"], weight: Float[Tensor, ...]
) -> Float[Tensor, " n"]:
    """Frobenius norm of Λuᵀ over that of W."""
    return u.norm(dim=-1) * lam.norm(dim=-1) / weight.norm()


def random_like(delta: Float[Tensor, "n d_model"], generator: torch.Generator) -> Float[Tensor, "n d_model"]:
    """Random directions of the same norms: an edit that pushes as hard and nowhere in particular."""
    drawn = torch.randn(delta.shape, generator=generator).to(delta)
    return drawn * (delta.norm(dim=-1, keepdim=True) / drawn.norm(dim=-1, keepdim=True))


def averaged(of_rows: Float[Tensor, "n d"], groups: Sequence[Sequence[int]]) -> Float[Tensor, "f d"]:
    """Mean over each group of rows: the key over its contexts."""
    return torch.stack([of_rows[list(group)].mean(0) for group in groups])


def spread(per_fact: Float[Tensor, "f d"], owners: Sequence[int]) -> Float[Tensor, "r d"]:
    """One fact's vector for each copy of a row that belongs to it."""
    index: Int[Tensor, " r"] = torch.tensor(list(owners), device=per_fact.device)
    return per_fact[index]
