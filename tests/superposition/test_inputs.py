import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from replications.superposition import inputs


def test_samples_have_the_density_and_are_uniform_where_not_zero():
    u = torch.rand(200_000, generator=torch.Generator().manual_seed(0))
    x = inputs.sample(u, torch.tensor(0.2))
    there = x[x > 0]
    assert len(there) / len(x) == pytest.approx(0.2, abs=0.005)
    assert there.max() <= 1
    assert torch.histc(there, 4, 0, 1).std() / len(there) < 0.01


@given(st.integers(1, 3), st.integers(2, 6), st.floats(0.01, 1))
def test_weights_are_a_distribution_with_the_right_moments(n, nodes, density):
    x, parts = inputs.quadrature(n, nodes)
    weight = inputs.weights(parts, torch.full((1, n), density))[0]
    assert weight.sum().item() == pytest.approx(1, abs=1e-5)
    assert weight.min() >= 0
    assert (weight @ x[:, 0]).item() == pytest.approx(density / 2, abs=1e-5)
    assert (weight @ x[:, 0].square()).item() == pytest.approx(inputs.mean_square(density), abs=1e-5)


@pytest.mark.parametrize("density", [1.0, 0.3, 0.05])
def test_what_a_pair_and_an_ignored_feature_cost(density):
    u = torch.rand(2, 400_000, generator=torch.Generator().manual_seed(1))
    x, y = inputs.sample(u, torch.tensor(density))
    assert torch.minimum(x, y).square().mean().item() == pytest.approx(inputs.pair_error(density), rel=0.05)
    assert x.var().item() == pytest.approx(inputs.variance(density), rel=0.02)


def test_log_spaced_ends_where_it_is_told():
    assert inputs.log_spaced(1, 0.01, 3) == pytest.approx([1, 0.1, 0.01])
