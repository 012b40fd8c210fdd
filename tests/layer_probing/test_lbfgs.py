"""The optimiser on quadratics, whose minima are known, and on problems that end at different times."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from replications.layer_probing import lbfgs


def quadratics(layers, problems, m, seed, spread):
    """Strictly convex quadratics with their minima; conditions up to `spread`."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(layers, problems, m, m, generator=generator, dtype=torch.float64)).Q
    values = torch.logspace(0, spread, m, dtype=torch.float64)
    matrix = basis @ (values[:, None] * basis.transpose(-1, -2))
    minimum = torch.randn(layers, problems, m, generator=generator, dtype=torch.float64)

    def objective(theta, some_layers, some_problems):
        a = matrix[some_layers[:, None], some_problems]
        left = theta - minimum[some_layers[:, None], some_problems]
        gradient = (a @ left[..., None])[..., 0]
        return 0.5 * (left * gradient).sum(-1), gradient

    return objective, minimum


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 9), st.integers(0, 99))
def test_finds_every_minimum(layers, problems, m, seed):
    objective, minimum = quadratics(layers, problems, m, seed, spread=2)
    found, largest, evaluations = lbfgs.minimise(
        objective,
        lambda g, layers, problems: g,
        torch.zeros_like(minimum),
        torch.arange(minimum.shape[1]),
        tolerance=1e-7,
        max_evaluations=500,
    )
    assert torch.allclose(found, minimum, atol=1e-5)
    assert largest.max() <= 1e-7
    assert evaluations.min() >= 1


def test_each_problem_ends_when_it_is_done():
    objective, minimum = quadratics(2, 3, 6, 0, spread=3)
    start = torch.zeros_like(minimum)
    start[0, 1] = minimum[0, 1]  # one that is there already
    _, _, evaluations = lbfgs.minimise(
        objective, lambda g, layers, problems: g, start, torch.arange(3), tolerance=1e-8, max_evaluations=500
    )
    assert evaluations[0, 1] == 1
    assert (evaluations.flatten() > 1).sum() == 5


def test_stops_at_the_limit():
    objective, minimum = quadratics(1, 1, 8, 0, spread=4)
    _, largest, evaluations = lbfgs.minimise(
        objective,
        lambda g, layers, problems: g,
        torch.zeros_like(minimum),
        torch.arange(minimum.shape[1]),
        tolerance=1e-12,
        max_evaluations=3,
    )
    assert evaluations.item() == 3
    assert largest.item() > 1e-12


def test_the_exact_inverse_hessian_needs_one_step():
    objective, minimum = quadratics(1, 1, 5, 0, spread=3)
    _, columns = objective(
        torch.eye(5, dtype=torch.float64)[None] + minimum[0], torch.tensor([0]), torch.tensor([0] * 5)
    )
    inverse = torch.linalg.inv(columns[0])
    _, _, evaluations = lbfgs.minimise(
        objective,
        lambda g, layers, problems: g @ inverse,
        torch.zeros_like(minimum),
        torch.arange(minimum.shape[1]),
        tolerance=1e-7,
        max_evaluations=50,
    )
    assert evaluations.item() == 2
