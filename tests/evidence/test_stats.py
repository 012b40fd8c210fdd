"""Bootstrap and leaves, against closed forms and scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap

from replications.evidence import stats


def test_weights_are_a_bootstrap_sample_with_the_sample_itself_first():
    weights = stats.resample_weights(7, resamples=50, seed=3)
    assert weights.shape == (51, 7)
    assert np.allclose(weights[0], 1 / 7)
    assert np.allclose(weights.sum(axis=1), 1)
    assert np.allclose(weights * 7, np.round(weights * 7))


def test_same_seed_same_weights_and_global_state_untouched():
    before = np.random.get_state()[1].copy()
    a, b = (stats.resample_weights(5, resamples=9, seed=1) for _ in range(2))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, stats.resample_weights(5, resamples=9, seed=2))
    assert np.array_equal(before, np.random.get_state()[1])


def test_mean_interval_agrees_with_scipy():
    values = np.random.default_rng(0).normal(2, 1, 80)
    ours = stats.mean(values, stats.resample_weights(80, resamples=9999, seed=0))
    theirs = bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval
    assert ours["value"] == pytest.approx(values.mean())
    assert ours["ci_low"] == pytest.approx(theirs.low, abs=0.02)
    assert ours["ci_high"] == pytest.approx(theirs.high, abs=0.02)
    assert ours["n"] == 80


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_share_is_exact_and_never_collapses(successes):
    from transformer_lens.utilities.statistics import success_rate_ci  # takes seconds

    ours = stats.share(successes)
    theirs = success_rate_ci(successes)
    assert ours["value"] == sum(successes) / len(successes)
    assert ours["ci_low"] == pytest.approx(theirs.ci_low, abs=1e-6)
    assert ours["ci_high"] == pytest.approx(theirs.ci_high, abs=1e-6)
    assert ours["ci_high"] > ours["ci_low"]


def test_ratio_of_means_resamples_both_sides_together():
    denominator = np.array([1.0, 2.0, 4.0, 8.0])
    numerator = np.stack([3 * denominator, -denominator])[:, None, :]  # [2, 1, 4]
    draws = stats.ratio_of_means(numerator, denominator, stats.resample_weights(4, resamples=20, seed=0))
    assert draws.shape == (21, 2, 1)
    assert np.allclose(draws[:, 0], 3)  # a constant ratio stays constant in every resample
    assert np.allclose(draws[:, 1], -1)


@pytest.mark.parametrize(
    ("falling", "rising", "layer"),
    [([1, 1, 0.2, 0], [0, 0.1, 0.9, 1], 2), ([1, 1], [0, 0], 2), ([0, 0], [1, 1], 0), ([0.5, 0.5], [0.5, 0.6], 1)],
)
def test_first_crossing(falling, rising, layer):
    assert stats.first_crossing(np.array(falling), np.array(rising)) == layer


def test_empty_sample_is_refused():
    with pytest.raises(ValueError, match="empty"):
        stats.resample_weights(0, resamples=10, seed=0)
