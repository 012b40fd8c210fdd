"""The strength is chosen on one half and measured on the other; intervals hold both prompts and concepts."""

import numpy as np
import pandas as pd
import pytest

from replications.sae_steering import quantities
from replications.sae_steering.measure import METHODS, NONE
from replications.sae_steering.quantities import MEASURES, Limits

LIMITS = Limits(perplexity=2.0, distinct=0.8)
DRAWS = {"resamples": 400, "seed": 0}


def gains(concepts=2, strengths=3, prompts=4, sentences=2):
    shape = {name: (concepts, strengths, sentences if name == "damage" else prompts) for name in MEASURES}
    return {name: np.zeros(size) for name, size in shape.items()}


def test_the_best_of_one_half_is_measured_on_the_other():
    found = gains(concepts=1)
    found["likelihood"][0] = [[1, 0, 1, 0], [0, 3, 0, 3], [0.5, 0.5, 0.5, 0.5]]  # even prompts like 0, odd ones 1
    found["damage"][0] = [[0.2, 0.4], [1.0, 2.0], [9.0, 9.0]]
    best = quantities.best(found, LIMITS, distinct=1.0)
    assert best.chosen.tolist() == [[0, 1]]
    assert best.gains["likelihood"].tolist() == [[0, 0, 0, 0]]
    assert best.gains["damage"][0] == pytest.approx([0.6, 1.2])


def test_texts_that_are_not_fluent_are_not_chosen():
    found = gains(concepts=1)
    found["likelihood"][0] = np.array([1.0, 2.0, 3.0])[:, None]
    found["log_perplexity"][0, 2] = np.log(2.1)
    found["distinct"][0, 1] = -0.3
    assert quantities.best(found, LIMITS, distinct=1.0).chosen.tolist() == [[0, 0]]
    found["log_perplexity"][0, 2] = np.log(1.9)
    assert quantities.best(found, LIMITS, distinct=1.0).chosen.tolist() == [[2, 2]]


def test_where_nothing_helps_nothing_is_done():
    found = gains()
    found["likelihood"] -= 1
    found["damage"] += 1
    best = quantities.best(found, LIMITS, distinct=1.0)
    assert (best.chosen == -1).all()
    assert all((best.gains[name] == 0).all() for name in MEASURES)


def test_the_interval_resamples_concepts_as_well_as_prompts():
    rng = np.random.default_rng(0)
    by_concept = np.repeat(rng.normal(size=(6, 1)), 50, axis=1)
    wide = quantities.estimate("likelihood", by_concept, DRAWS)
    narrow = quantities.estimate("likelihood", rng.permuted(by_concept.ravel()).reshape(6, 50), DRAWS)
    assert wide["value"] == pytest.approx(by_concept.mean())
    assert wide["n"] == 300
    assert wide["ci_high"] - wide["ci_low"] > 1.5 * (narrow["ci_high"] - narrow["ci_low"])


def test_perplexities_are_compared_as_ratios():
    found = quantities.estimate("log_perplexity", np.full((2, 3), np.log(1.5)), DRAWS)
    assert [found[key] for key in ("value", "ci_low", "ci_high")] == pytest.approx([1.5, 1.5, 1.5])


def frame(names, prompts=2):
    """Rows whose scores say where they came from."""
    rows, damage = [], []
    for m, method in enumerate((NONE, *METHODS)):
        for c, name in enumerate(names):
            for strength in [0.0] if method == NONE else [1.0, 2.0]:
                for prompt in range(prompts):
                    value = 1000 * m + 100 * c + 10 * strength + prompt
                    rows.append({"method": method, "concept": name, "strength": strength, "prompt": prompt,
                                 "lexical": value, "likelihood": value, "loss": value, "distinct": 1.0})  # fmt: skip
                    damage.append({"method": method, "concept": name, "strength": strength, "sentence": prompt,
                                   "rise": value})  # fmt: skip
    return pd.DataFrame(rows), pd.DataFrame(damage)


def test_gains_are_paired_with_the_unsteered_text_of_the_same_prompt():
    names = ["zebra", "ant"]  # the order of the file, not of the alphabet
    rows, damage = frame(names)
    found = quantities.gains(rows.sample(frac=1, random_state=0), damage, names)
    for m, method in enumerate(METHODS, start=1):
        expected = 1000 * m + np.array([10.0, 20.0])[None, :, None] + np.zeros((2, 2, 2))
        assert found[method]["likelihood"] == pytest.approx(expected)
        assert found[method]["log_perplexity"] == pytest.approx(expected)
    assert found["feature"]["damage"][1, 0] == pytest.approx([1110, 1111])


def test_differences_between_methods_are_paired():
    names = ["a", "b"]
    found = quantities.gains(*frame(names), names)
    for one in found.values():
        one["log_perplexity"][:] = 0
    best = {method: quantities.best(found[method], LIMITS, 1.0) for method in METHODS}
    tree = quantities.tree(found, best, names, [1, 2], DRAWS)
    gap = tree["difference"]["prompt_over_feature"]["likelihood"]
    assert [gap[key] for key in ("value", "ci_low", "ci_high")] == pytest.approx([3000, 3000, 3000])
    assert tree["multiples"]["x2"]["feature_over_random"]["lexical"]["value"] == pytest.approx(-2000)
    assert tree["concepts"]["b"]["prompt"]["likelihood"]["value"] == pytest.approx(4020)
