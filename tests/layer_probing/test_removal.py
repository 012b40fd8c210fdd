"""What is removed is gone, and nothing else is."""

import pytest
import torch

from replications.layer_probing import removal
from replications.layer_probing.linear_probes import scale_of


@pytest.fixture(scope="module")
def planted():
    """Two layers of 60 dimensions, the class in three of them, in unlike strength; train and held-out."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (1200,), generator=generator)
    states = torch.randn(2, 1200, 60, generator=generator)
    states[:, :, :3] += torch.tensor([3.0, 1.5, 0.8]) * labels[:, None]
    x = scale_of(states)(states)
    return x[:, :800], labels[:800], x[:, 800:], labels[800:]


def after(planted, basis):
    return removal.accuracy_after(*planted, basis, 0.1)


def test_a_probe_is_right_before(planted):
    assert (after(planted, torch.zeros(2, 60, 0)) > 0.9).all()


def test_null_space_projection_leaves_no_linear_information(planted):
    x, labels, _, answers = planted
    basis = removal.null_space_projection(x, labels, rank=6, c=0.1)
    majority = max(answers.float().mean().item(), 1 - answers.float().mean().item())
    assert (after(planted, basis) <= majority + 0.05).all()
    rounds, curve = removal.rounds_needed(*planted, basis, 0.1)
    assert curve.shape == (2, 7)
    assert (curve[:, 0] > 0.9).all()
    assert (rounds < 6).all()


def test_difference_of_means_makes_the_means_equal(planted):
    x, labels, *_ = planted
    left = removal.without(x, removal.difference_of_means(x, labels))
    assert torch.allclose(left[:, labels == 0].mean(dim=1), left[:, labels == 1].mean(dim=1), atol=1e-5)


def test_a_random_subspace_of_the_same_rank_takes_hardly_anything(planted):
    basis = removal.random_subspace(2, 60, 3, torch.Generator().manual_seed(1))
    assert (after(planted, basis) > 0.85).all()


def test_bases_are_orthonormal_and_projections_idempotent(planted):
    x, labels, *_ = planted
    for basis in (
        removal.null_space_projection(x, labels, rank=4, c=0.1),
        removal.random_subspace(2, 60, 4, torch.Generator().manual_seed(1)),
        removal.difference_of_means(x, labels),
    ):
        assert torch.allclose(basis.transpose(1, 2) @ basis, torch.eye(basis.shape[2]).expand(2, -1, -1), atol=1e-4)
        once = removal.without(x, basis)
        assert torch.allclose(removal.without(once, basis), once, atol=1e-4)


def test_all_rounds_are_taken_where_chance_is_not_reached(planted):
    basis = removal.random_subspace(2, 60, 2, torch.Generator().manual_seed(1))
    rounds, _ = removal.rounds_needed(*planted, basis, 0.1)
    assert rounds.tolist() == [2, 2]
