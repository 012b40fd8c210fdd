"""The tree of Estimates from planted answers."""

import numpy as np
import pytest

from replications.layer_probing import quantities
from replications.layer_probing.quantities import resampling

GROUPS = np.repeat(np.arange(40), 5)
SAMPLED = resampling(GROUPS, 3, resamples=300, seed=0)


def answers(accuracy, seeds=3, seed=0):
    """Right and wrong [layers, seeds, 200] at these accuracies."""
    draw = np.random.default_rng(seed)
    return draw.random((len(accuracy), seeds, len(GROUPS))) < np.array(accuracy)[:, None, None]


def test_means_are_means():
    right = answers([0.3, 0.8])
    draws = SAMPLED.means(right)
    assert draws.shape == (301, 2)
    assert draws[0] == pytest.approx(right.mean(axis=(1, 2)))
    only = GROUPS < 10
    assert SAMPLED.means(right, only)[0] == pytest.approx(right[:, :, only].mean(axis=(1, 2)))


def test_words_of_a_sentence_and_seeds_are_drawn_together():
    by_sentence = np.broadcast_to((GROUPS % 2 == 0)[None, None], (1, 3, 200))
    draws = SAMPLED.means(by_sentence)[1:, 0]
    assert draws.std() == pytest.approx(0.5 / np.sqrt(40), rel=0.15)  # 40 sentences, not 200 words
    by_seed = np.broadcast_to(np.array([0, 0, 1])[None, :, None], (1, 3, 200))
    assert set(np.round(SAMPLED.means(by_seed)[:, 0] * 3).astype(int)) == {0, 1, 2, 3}


def test_one_seed_counts_as_it_is():
    right = answers([0.5], seeds=1)
    assert np.isfinite(SAMPLED.means(right)).all()


def test_a_step_is_found_where_it_is():
    tree = quantities.curve(SAMPLED.means(answers([0.4, 0.4, 0.9, 0.9, 0.4])), SAMPLED.n)
    assert tree["best"]["layer"]["value"] in (2, 3)
    assert tree["gain_depth"]["value"] == pytest.approx(0.5, abs=0.06)
    assert tree["first_half"]["value"] == pytest.approx(1, abs=0.06)
    assert tree["first_third"]["value"] < 0.5
    assert tree["gain"]["2"]["ci_low"] > 0.3
    assert tree["gain"]["4"]["ci_high"] < -0.3
    assert tree["layer0"]["gain_over"]["value"] == pytest.approx(0.5, abs=0.06)
    assert set(tree["accuracy"]) == set("01234")
    assert set(tree["gain"]) == set("1234")


def test_nothing_is_said_about_the_place_of_no_gain():
    tree = quantities.curve(SAMPLED.means(answers([0.9, 0.5, 0.5])), SAMPLED.n)
    assert "gain_depth" not in tree
    assert tree["layer0"]["gain_over"]["value"] == 0


def test_selectivity_is_a_difference_within_a_draw():
    task = answers([0.5, 0.9, 0.8])
    draws = SAMPLED.means(task)
    tree = quantities.selectivity(draws, draws, SAMPLED.n)
    assert tree["at_best_accuracy"]["selectivity"] == {"value": 0, "ci_low": 0, "ci_high": 0, "n": 200}
    control = SAMPLED.means(answers([0.9, 0.8, 0.3], seed=1))
    tree = quantities.selectivity(draws, control, SAMPLED.n)
    assert tree["layer0"]["ci_high"] < 0 < tree["middle"]["value"] < tree["top"]["ci_low"]
    assert tree["best"]["layer"]["value"] == 2
    assert tree["above_best_accuracy"]["value"] == 0.5


def test_bits_and_compression():
    bits = SAMPLED.means(np.broadcast_to(np.array([4.0, 1.0, 2.0])[:, None, None], (3, 1, 200)))
    tree = quantities.description_length(bits, bits + 1, 16, SAMPLED.n)
    assert tree["best"]["compression"]["value"] == 4
    assert tree["best"]["depth"]["value"] == 0.5
    assert tree["control_minus_task"]["value"] == 1
    assert tree["uniform_bits"]["value"] == 4


def test_table_has_a_row_per_layer_with_its_band():
    frame = quantities.table({"accuracy": SAMPLED.means(answers([0.3, 0.8]))}, SAMPLED.n)
    assert frame["layer"].tolist() == [0, 1]
    assert ((frame["ci_low"] < frame["value"]) & (frame["value"] < frame["ci_high"])).all()
