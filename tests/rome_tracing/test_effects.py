"""Quantities from traces that we planted."""

import numpy as np
import pytest
from rome_tracing.planted import CLEAN, LAYERS, N, planted, sample, value

from replications.rome_tracing import effects
from replications.rome_tracing.effects import Sample


@pytest.fixture(scope="module")
def tree():
    return effects.quantities(sample(), LAYERS, {"subjects": 0.3, "text": 0.6})


def test_runs(tree):
    assert value(tree, "clean_p") == pytest.approx(CLEAN)
    assert value(tree, "total_effect") == pytest.approx(0.5)
    assert value(tree, "corrupted_share") == pytest.approx(1 / 6)
    assert value(tree, "noise.subjects.sigma") == pytest.approx(0.1)
    assert value(tree, "noise.text.total_effect") == pytest.approx(0.4)
    assert tree["clean_p"]["ci_low"] < CLEAN < tree["clean_p"]["ci_high"]


def test_sites_are_found_where_they_were_planted(tree):
    for kind, token, layer in (("mlp", "subject_last", 4), ("attn", "last", 6)):
        peaks = {name: leaf["value"] for name, leaf in tree[kind]["aie"].items()}
        assert max(peaks, key=peaks.get) == token
        assert value(tree, f"{kind}.aie.{token}") == pytest.approx(0.3)
        assert value(tree, f"{kind}.layer.{token}") == layer
        assert value(tree, f"{kind}.depth.{token}") == pytest.approx(layer / 12)
        assert value(tree, f"{kind}.share.{token}") == pytest.approx(0.6)
        assert value(tree, f"{kind}.restored_p.{token}") == pytest.approx(0.4)


def test_the_mean_of_maxima_exceeds_the_maximum_of_means():
    rows = [planted(i) for i in range(N)]
    for i, row in enumerate(rows):  # half of the facts peak one sampled layer later
        row["mlp"] = np.roll(row["mlp"], i % 2, axis=0)
    found = effects.quantities(sample(rows), LAYERS, {"subjects": 0.3})["mlp"]
    assert found["restored_p"]["subject_last"]["value"] == pytest.approx(0.35)
    assert found["max_restored_p"]["subject_last"]["value"] == pytest.approx(0.4)


def test_variants(tree):
    assert value(tree, "mlp_text.layer") == 2
    assert value(tree, "single.mlp.of_window") == pytest.approx(0.1)
    assert value(tree, "single.attn.of_window") == pytest.approx(0.2)
    assert value(tree, "single.attn.layer") == 6


def test_severing(tree):
    # the first third is layers 0 and 2; 4 to 10 are later
    assert value(tree, "severed.intact.early") == pytest.approx(0.4)
    assert value(tree, "severed.mlp.early") == pytest.approx(0)
    assert value(tree, "severed.lost.mlp.early") == pytest.approx(0.4)
    assert value(tree, "severed.lost.attn.early") == pytest.approx(0.1)
    assert value(tree, "severed.lost.mlp.later") == pytest.approx(0.1)
    assert value(tree, "severed.lost_share.mlp") == pytest.approx(1)


def test_noise_elsewhere_is_the_control_of_the_site(tree):
    assert value(tree, "other_tokens.total_effect") == pytest.approx(0.2)
    assert value(tree, "other_tokens.subject") == pytest.approx(0.5)
    assert value(tree, "other_tokens.mlp.aie") == pytest.approx(0.1)
    assert value(tree, "other_tokens.mlp.share") == pytest.approx(0.5)


def test_a_class_that_few_facts_have_is_left_out():
    few = sample([planted(i, middle=i < 4) for i in range(N)])
    enough = sample([planted(i, middle=i < 5) for i in range(N)])
    assert "subject_middle" not in effects.quantities(few, LAYERS, {})["mlp"]["aie"]
    found = effects.quantities(enough, LAYERS, {})["mlp"]["aie"]["subject_middle"]
    assert (found["n"], found["value"]) == (5, 0)


def test_a_ratio_to_nothing_has_no_value():
    assert sample().ratio(np.ones(N), np.zeros(N))["value"] is None
    some = sample().ratio(np.ones(N), np.r_[1, np.zeros(N - 1)])  # many resamples lack the only one that counts
    assert some["value"] == pytest.approx(N)
    assert some["ci_high"] <= N


def test_the_interval_of_a_mean_is_that_of_its_draws():
    rng = np.random.default_rng(0)
    rows = [planted(i) | {"clean": value} for i, value in enumerate(rng.normal(size=N))]
    made = Sample.of(rows, resamples=4000, seed=0)
    found, values = made.mean(made["clean"]), made["clean"]
    assert found["ci_high"] - found["ci_low"] == pytest.approx(2 * 1.96 * values.std() / N**0.5, rel=0.1)
