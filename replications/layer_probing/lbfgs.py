"""L-BFGS on a grid of independent problems: each has its own step, memory and end, all are evaluated at once.

In the compact form of Byrd, Nocedal & Schnabel 1994 (equation 2.6), which is a few products with the whole memory where
the two loops are many with one vector; a preconditioner takes the place of the unit matrix. A step that does not
decrease its objective enough is halved; meanwhile its neighbours go on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.linalg import solve_triangular, vecdot

MEMORY = 5  # pairs of steps and gradient changes
SUFFICIENT = 1e-4  # share of the predicted decrease that a step must reach (Armijo)
ROUNDING = 1e-6  # relative error of an objective in float32

# theta [L, P, m], layers [L], problems [P] -> objective [L, P], gradient [L, P, m]
Objective = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
Precondition = Callable[[Tensor, Tensor, Tensor], Tensor]  # gradient, layers, problems -> [L, P, m]; symmetric


@dataclass
class _Active:
    """The problems under way, as a grid [L, P] of layers and problems; converged ones wait for their row or column.

    The memory of M places: steps s, and the gradient changes y preconditioned; their products s_i . y_j and
    y_i . preconditioned y_j. A problem that did not move leaves an empty place, all zeros.
    """

    theta: Tensor  # [L, P, m]
    value: Tensor  # [L, P]
    gradient: Tensor  # [L, P, m]
    turned: Tensor  # [L, P, m], the gradient preconditioned
    step: Tensor  # [L, P], as a share of the full one
    done: Tensor  # [L, P]
    steps: Tensor  # [L, P, M, m]
    changes: Tensor  # [L, P, M, m]
    crossed: Tensor  # [L, P, M, M]
    squared: Tensor  # [L, P, M, M]
    along: Tensor  # [L, P, M], s_i . gradient
    across: Tensor  # [L, P, M], preconditioned y_i . gradient
    scale: Tensor  # [L, P], of the preconditioner

    def kept(self, layers: Tensor, problems: Tensor) -> _Active:
        """The part of the grid given by two masks."""
        rows, columns = layers.nonzero()[:, 0], problems.nonzero()[:, 0]
        return _Active(*(getattr(self, field.name)[rows][:, columns] for field in fields(self)))


def minimise(
    objective: Objective, precondition: Precondition, start: Tensor, problems: Tensor, *, tolerance: float,
    max_evaluations: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Minima [L, P, m], the largest entry of each gradient there [L, P], and how many evaluations each took [L, P].

    `problems` [P] are the numbers by which the objective knows the columns of `start`. A problem ends when its largest
    entry is at most `tolerance`; `max_evaluations` ends them all.
    """
    result, largest = start.clone(), start.new_empty(start.shape[:2])
    evaluations = torch.ones(start.shape[:2], dtype=torch.long, device=start.device)
    layers, columns = (torch.arange(size, device=start.device) for size in start.shape[:2])
    value, gradient = objective(start, layers, problems)
    now = _begin(start, value, gradient, precondition(gradient, layers, problems), tolerance)
    for count in range(1, max_evaluations + 1):
        busy = ~now.done
        in_row, in_column = busy.any(dim=1), busy.any(dim=0)
        if count == max_evaluations or not (in_row.all() and in_column.all()):
            grid = layers[:, None], columns
            result[grid], largest[grid] = now.theta, now.gradient.abs().amax(dim=-1)
            if count == max_evaluations or not in_row.any():
                break
            now, layers, columns = now.kept(in_row, in_column), layers[in_row], columns[in_column]
        evaluations[layers[:, None], columns] += ~now.done
        _advance(now, objective, precondition, layers, problems[columns], count, tolerance)
    return result, largest, evaluations


def _begin(theta: Tensor, value: Tensor, gradient: Tensor, turned: Tensor, tolerance: float) -> _Active:
    done = gradient.abs().amax(dim=-1) <= tolerance
    grid, m = theta.shape[:2], theta.shape[2]
    steps, changes = (theta.new_zeros(*grid, MEMORY, m) for _ in range(2))
    crossed, squared = (theta.new_zeros(*grid, MEMORY, MEMORY) for _ in range(2))
    along, across = (theta.new_zeros(*grid, MEMORY) for _ in range(2))
    ones = torch.ones_like(value)
    memory = steps, changes, crossed, squared, along, across
    return _Active(theta, value, gradient, turned, ones, done, *memory, ones.clone())


def _advance(
    now: _Active, objective: Objective, precondition: Precondition, layers: Tensor, problems: Tensor, count: int,
    tolerance: float,
) -> None:  # fmt: skip
    """One evaluation of every problem, at its next trial point."""
    direction = _direction(now, count)
    slope = vecdot(now.gradient, direction)
    move = direction.mul_(now.step[..., None])
    value, gradient = objective(now.theta + move, layers, problems)
    limit = now.value + SUFFICIENT * now.step * slope + ROUNDING * now.value.abs()
    taken = (value <= limit) & ~now.done
    if not taken.all():
        move = move * taken[..., None]
        gradient = torch.where(taken[..., None], gradient, now.gradient)
        value = torch.where(taken, value, now.value)
    turned = precondition(gradient, layers, problems)
    _remember(now, move, gradient, turned, count % MEMORY)
    now.theta, now.value, now.gradient, now.turned = now.theta + move, value, gradient, turned
    now.step = torch.where(taken, torch.ones_like(now.step), now.step / 2)
    now.done |= gradient.abs().amax(dim=-1) <= tolerance


def _remember(now: _Active, move: Tensor, gradient: Tensor, turned: Tensor, place: int) -> None:
    """Put a step in the place of the oldest one, with its products with all others.

    Those with the change of the gradient are differences of those with the gradient, which the direction needs anyway.
    """
    change, turned_change = gradient - now.gradient, turned - now.turned
    curvature = vecdot(move, change)
    useful = curvature > torch.finfo(curvature.dtype).tiny
    now.steps[:, :, place], now.changes[:, :, place] = move * useful[..., None], turned_change * useful[..., None]
    before = now.along, now.across
    now.along, now.across = _times(now.steps, gradient), _times(now.changes, gradient)
    crossed, squared = now.along - before[0], now.across - before[1]
    crossed[..., place], squared[..., place] = curvature, vecdot(turned_change, change)
    now.crossed[..., place], now.crossed[..., place, :] = crossed * useful[..., None], 0
    now.crossed[..., place, place] = curvature * useful
    now.squared[..., place] = now.squared[..., place, :] = squared * useful[..., None]
    now.scale = torch.where(useful, curvature / squared[..., place], now.scale)


def _direction(now: _Active, count: int) -> Tensor:
    """Minus the approximate inverse Hessian times the gradient."""
    scale = now.scale[..., None]
    order = [place % MEMORY for place in range(max(count - MEMORY, 1), count)]  # oldest first
    if not order:
        return -scale * now.turned
    upper = now.crossed[..., order, :][..., order].triu()
    own = upper.diagonal(dim1=-2, dim2=-1)
    curvature = own.clone()
    own += own == 0  # an empty place
    a, b = now.along[..., order], now.across[..., order]
    u = solve_triangular(upper, a[..., None], upper=True)
    inner = curvature[..., None] * u + scale[..., None] * (now.squared[..., order, :][..., order] @ u - b[..., None])
    p = solve_triangular(upper.mT, inner, upper=False)
    both = now.step.new_zeros(2, *now.step.shape, 1, MEMORY)
    both[..., order] = torch.stack([p, -scale[..., None] * u]).mT
    return -(scale * now.turned + (both[0] @ now.steps + both[1] @ now.changes)[..., 0, :])


def _times(vectors: Tensor, vector: Tensor) -> Tensor:
    """[L, P, M] products of the memory [L, P, M, m] with one vector [L, P, m]."""
    return (vectors @ vector[..., None])[..., 0]
