"""Correlations against scipy, planted units among noise, and that nothing is chosen on what it is measured on."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr

from replications.evidence import stats
from replications.sae_features import specificity
from replications.sae_features.specificity import Draw, average, choose, correlations, measure, pearson, share

WEIGHTS = stats.resample_weights(6, resamples=50, seed=0)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@given(seed=st.integers(0, 99), shift=st.floats(-50, 50), factor=st.floats(0.01, 50))
def test_correlation_is_scipys(seed, shift, factor):
    x = noise(6, 9, seed=seed) * factor + shift
    y = noise(6, 9, seed=seed + 100) + 0.5 * x / factor
    wanted = pearsonr(x.ravel(), y.ravel()).statistic
    assert pearson(x, y, WEIGHTS).draws[0] == pytest.approx(wanted, abs=1e-9)
    columns = [torch.from_numpy(values.reshape(-1, 1)) for values in (x, y)]
    assert correlations(*columns).item() == pytest.approx(wanted, abs=1e-6)


def test_every_draw_is_the_correlation_of_the_windows_it_draws():
    x, y = noise(6, 9), noise(6, 9, seed=1)
    drawn = [0, 0, 2, 3, 3, 5]
    weights = np.stack([np.full(6, 1 / 6), np.bincount(drawn, minlength=6) / 6])
    wanted = pearsonr(x[drawn].ravel(), y[drawn].ravel()).statistic
    assert pearson(x, y, weights).draws[1] == pytest.approx(wanted, abs=1e-9)


def test_what_never_changes_correlates_with_nothing():
    assert pearson(np.full((6, 9), 3.0), noise(6, 9), WEIGHTS).draws.tolist() == [0] * 51
    assert correlations(torch.ones(8, 2), torch.randn(8, 1)).abs().max() == 0


def test_shares_count_tokens_and_are_undefined_without_any():
    of, that = np.zeros((6, 4), bool), np.zeros((6, 4), bool)
    of[0], that[0, :3], of[1, 0] = True, True, True
    found = share(of, that, WEIGHTS)
    assert found.draws[0] == pytest.approx(3 / 5)
    assert found.n == 2
    assert share(that & ~of, of, WEIGHTS).leaf() == {"value": None, "ci_low": None, "ci_high": None, "n": 0}


def test_a_planted_unit_is_found_and_measured_on_other_windows():
    rng = np.random.default_rng(3)
    inside = rng.random((2, 6, 40)) < 0.2
    ratio = np.where(inside, 3.0, -5.0)
    a = rng.random((2, 6, 40, 7)) * 0.5
    a[..., 4] = inside * rng.uniform(1, 2, inside.shape)
    chosen = choose(torch.from_numpy(a[0]).flatten(0, 1), torch.from_numpy(ratio[0].reshape(-1, 1)))
    assert chosen.unit == [4]
    assert chosen.strong == [pytest.approx(a[0, ..., 4].max() / 2)]
    draws = measure(a[1, ..., 4], ratio[1], inside[1], chosen.strong[0], WEIGHTS)
    found = {name: draw.leaf()["value"] for name, draw in draws.items()}
    assert found["correlation"] > 0.9
    assert found["share_active"] == found["share_strong"] == found["recall"] == 1


def test_a_unit_that_follows_by_chance_is_not_measured_where_it_was_chosen():
    """The best of many random units looks good on the windows it was chosen on, and on no others."""
    a, ratio = noise(2, 6, 40, 500), noise(2, 6, 40, seed=9)
    flat = torch.from_numpy(a[0].reshape(240, 500))
    chosen = choose(flat, torch.from_numpy(ratio[0].reshape(-1, 1)))
    there = pearson(a[0, ..., chosen.unit[0]], ratio[0], WEIGHTS).draws[0]
    elsewhere = pearson(a[1, ..., chosen.unit[0]], ratio[1], WEIGHTS).draws[0]
    assert there > 0.15
    assert abs(elsewhere) < 0.15


def test_averages_leave_out_what_is_undefined():
    parts = [Draw(np.array([0.2, np.nan]), 3), Draw(np.array([0.4, 0.6]), 5), Draw(np.array([np.nan, np.nan]), 0)]
    found = average(parts)
    assert found.draws.tolist() == pytest.approx([0.3, 0.6])
    assert found.n == 5
    assert average(parts[2:]).leaf()["value"] is None
    difference = parts[1] - Draw(np.array([0.1, 0.1]), 2)
    assert difference.draws.tolist() == pytest.approx([0.3, 0.5])
    assert difference.n == 2


def test_correlations_are_numpys_and_0_where_nothing_changes(monkeypatch):
    monkeypatch.setattr(specificity, "ROWS", 7)
    a, y = torch.from_numpy(noise(50, 11)) + 100, torch.from_numpy(noise(50, 3, seed=1))
    wanted = np.corrcoef(a.numpy().T, y.numpy().T)[:11, 11:]
    assert correlations(a, y).numpy() == pytest.approx(wanted, abs=1e-9)
    a[:, 4], a[:, 5] = 0.3, 0
    assert (correlations(a.float(), y)[4:6] == 0).all()
