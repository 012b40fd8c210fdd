import pytest
import torch

from replications.superposition import geometry, inputs, training
from replications.superposition.training import Recipe, train_exact, train_sampled, untrained

RECIPE = Recipe(steps=400, batch=64, lr=0.03)


def trained(**changes):
    density = torch.tensor([[1.0], [0.05]]).expand(-1, 2)
    options = {"m": 1, "seeds": 3, "recipe": RECIPE, "seed": 0} | changes
    return train_sampled(density, torch.tensor([1, 0.5]).expand(2, -1), **options)


def test_same_seed_same_bits_other_seed_other_models():
    a, b, c = trained(), trained(), trained(seed=1)
    assert torch.equal(a.W, b.W)
    assert torch.equal(a.loss, b.loss)
    assert not torch.equal(a.W, c.W)


def test_dense_features_are_not_superposed_and_sparse_ones_are():
    made = trained(seeds=5)
    kept = geometry.represented(made.best()).sum(-1)
    assert kept.tolist() == [1, 2]
    assert made.best()[1].prod() < 0  # an antipodal pair


def test_exact_training_reaches_what_theory_gives():
    density, recipe = torch.tensor([[0.1, 0.1]]), Recipe(steps=400, lr=0.03, nodes=6)
    made = train_exact(density, torch.ones(1, 2), 1, 8, recipe, seed=0)
    assert made.loss.min().item() == pytest.approx(2 * inputs.pair_error(0.1), rel=0.05)


def test_best_is_the_seed_with_the_least_loss():
    made = trained()
    at = made.loss.argmin(1).tolist()
    assert torch.equal(made.best(), torch.stack([made.W[i, seed] for i, seed in enumerate(at)]))


def test_rate_is_constant_then_falls_to_zero():
    rates = [training.rate(step, Recipe(steps=10, lr=2.0)) for step in range(10)]
    assert rates[:6] == [2.0] * 6
    assert rates[6:] == sorted(rates[6:], reverse=True)
    assert 0 < rates[-1] < 0.5


def test_a_linear_model_stores_no_more_than_it_has_dimensions():
    density = torch.full((1, 6), 0.05)
    made = train_sampled(density, 0.7 ** torch.arange(6.0)[None], 2, 3, Recipe(1500, 0.02, 128), seed=0, linear=True)
    assert (geometry.represented(made.W).sum(-1) <= 2).all()


def test_untrained_weights_have_the_initial_spread():
    assert untrained(2, 3, 40, 10, seed=0).std().item() == pytest.approx((2 / 50) ** 0.5, rel=0.05)
