import math

import numpy as np
import pytest
import torch

from replications.superposition import experiments, quantities
from replications.superposition.training import ToyTrained

DRAWS = {"resamples": 200, "seed": 0}
SQUARE = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1], [0, 0]])
PENTAGON = torch.tensor([[math.cos(2 * math.pi * i / 5), math.sin(2 * math.pi * i / 5)] for i in range(5)])


def collapsing(first, restarts=4):
    """Models whose best is a pentagon below a ratio and two pairs from it on."""
    best = [SQUARE if ratio >= first else PENTAGON for ratio in experiments.RATIOS]
    W = torch.stack([torch.stack([each, *[PENTAGON] * (restarts - 1)]) for each in best])
    loss = torch.tensor([[0.0, *[1.0] * (restarts - 1)]]).expand(len(best), -1)
    return ToyTrained(W, torch.zeros(len(best), restarts, 5), loss)


@pytest.mark.parametrize("first", [1.5, 2.5, 6.0])
def test_collapse_is_found_where_the_best_model_changes(first):
    leaf = quantities.collapse(collapsing(first), DRAWS)
    assert leaf["value"] == first
    assert leaf["ci_low"] <= first <= leaf["ci_high"]


def test_a_pentagon_that_never_gives_way_has_no_ratio():
    assert quantities.collapse(collapsing(99), DRAWS)["value"] is None


def test_sticky_is_where_most_values_are():
    assert quantities.sticky(np.array([0.9, 0.7, 0.51, 0.5, 0.49, 0.3, 0.1])) == pytest.approx(0.5)


def test_lines_are_enriched_by_features_on_them_and_not_by_even_spread():
    even = torch.linspace(0.3, 0.8, 4001)[None].repeat(6, 1)
    on = torch.cat([even[:, :500], torch.full((6, 300), 0.5)], 1)
    assert quantities.lines(even, DRAWS)["digon"]["enrichment"]["value"] == pytest.approx(1, abs=0.02)
    flat = torch.cat([even, torch.full((6, 300), 0.5)], 1)
    assert quantities.lines(flat, DRAWS)["digon"]["enrichment"]["value"] > 2
    assert quantities.lines(on, DRAWS)["digon"]["on"]["value"] == 1800


def test_a_bipyramid_is_near_itself():
    triangle = torch.tensor([[math.cos(a), math.sin(a), 0] for a in (0, 2 * math.pi / 3, 4 * math.pi / 3)])
    W = torch.cat([triangle, torch.tensor([[0, 0, 1.0], [0, 0, -1.0]])])
    trained = ToyTrained(torch.stack([W, torch.rand(5, 3)])[None], torch.zeros(1, 2, 5), torch.tensor([[0.0, 1.0]]))
    tree = quantities.bipyramid("triangular", trained)
    assert tree["deviation"]["value"] < 1e-5
    assert tree["share"]["value"] == 0.5


def test_lengths_follow_the_bias():
    b = torch.full((3, 4), -0.25)
    W = torch.eye(4).expand(3, -1, -1) / (1 - b[..., None])
    assert quantities.lengths(W, b)["product"]["value"] == pytest.approx(1)


def test_untrained_weights_have_no_lengths_and_no_plateau_of_one():
    W = torch.randn(3, 2, 8, 2, generator=torch.Generator().manual_seed(0))
    tree = quantities.plateaus(W, None, DRAWS)
    assert "norm" not in tree
    assert "adversarial" not in tree
