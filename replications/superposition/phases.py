"""Phase diagrams: what becomes of one more feature than there are dimensions, by its density and relative importance.

Elhage et al. 2022, the section on phase changes: n = 2, m = 1 and n = 3, m = 2; the last feature is the extra one, of
importance r, the others have importance 1. Ten models per cell; the worst is dropped, the others are averaged.
"""

from __future__ import annotations

import torch
from torch import Tensor

from replications.superposition import geometry, inputs
from replications.superposition.training import ToyTrained

IGNORED, DEDICATED, SUPERPOSED = PHASES = ("ignored", "dedicated", "superposition")
CUT = 0.5  # half way between nothing and a whole feature, for lengths as for interference
SHAPES = {"n2m1": (2, 1), "n3m2": (3, 2)}


def grid(n: int, cells: int) -> tuple[Tensor, Tensor]:
    """Density and importance [cells * cells, n]: density 1 to 0.01 by row, relative importance 0.1 to 10 by column."""
    density = torch.tensor(inputs.log_spaced(1, 0.01, cells)).repeat_interleave(cells)
    extra = torch.tensor(inputs.log_spaced(0.1, 10, cells)).repeat(cells)
    importance = torch.ones(len(extra), n)
    importance[:, -1] = extra
    return density[:, None].expand(-1, n).contiguous(), importance


def averages(trained: ToyTrained) -> tuple[Tensor, Tensor]:
    """Length and interference [cells] of the extra feature, over the models of a cell but the worst."""
    order = trained.loss.argsort(1)[:, :-1]
    length = trained.W[..., -1, :].norm(dim=-1)
    shared = geometry.interference(trained.W)[..., -1]
    return length.gather(1, order).mean(1), shared.gather(1, order).mean(1)


def observed(length: Tensor, shared: Tensor) -> list[str]:
    """Phase of each cell."""
    return [
        IGNORED if long < CUT else SUPERPOSED if lies > CUT else DEDICATED
        for long, lies in zip(length.tolist(), shared.tolist(), strict=True)
    ]


def predicted(density: Tensor, importance: Tensor) -> list[str]:
    """Phase of least loss by theory: one feature ignored, or two that share a dimension as an antipodal pair.

    To ignore feature i costs I_i Var x; a pair costs (I_i + I_j) E[min(x, y)^2]. All else costs nothing.
    """
    return [_cheapest(p, row) for p, row in zip(density[:, 0].tolist(), importance.tolist(), strict=True)]


def _cheapest(p: float, importance: list[float]) -> str:
    *others, extra = importance
    costs = {
        IGNORED: extra * inputs.variance(p),
        SUPERPOSED: (min(others) + extra) * inputs.pair_error(p),
        DEDICATED: min(others) * inputs.variance(p),
    }
    if len(others) > 1:  # two of the others may share a dimension instead
        costs[DEDICATED] = min(costs[DEDICATED], sum(sorted(others)[:2]) * inputs.pair_error(p))
    return min(costs, key=costs.__getitem__)
