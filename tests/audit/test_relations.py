"""Each relation against an independent oracle, or against the sentence that defines it."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from replications.audit import relations as r

rates = st.floats(0.1, 100.0)
curves = st.lists(st.floats(1.0, 100.0), min_size=3, max_size=25)


@given(st.lists(rates, min_size=1, max_size=5))
def test_score_is_the_harmonic_mean(values):
    assert r.score(*values) == pytest.approx(statistics.harmonic_mean(values))
    assert r.score(*values) == pytest.approx(stats.hmean(values))
    assert min(values) - 1e-9 <= r.score(*values) <= max(values) + 1e-9


@given(rates, st.floats(0.0, 100.0))
def test_share_and_kept_and_remaining_are_three_views_of_one_loss(whole, percent):
    lost = whole * percent / 100
    assert r.share(lost, whole) == pytest.approx(percent)
    assert r.kept(lost, whole) == pytest.approx(100 - percent)
    assert r.remaining(whole, percent) == pytest.approx(whole - lost)


@given(st.floats(0.5, 99.5), st.integers(10, 100_000))
def test_half_width_is_that_of_a_binomial_proportion(rate, n):
    sd = 100 * stats.binom(n, rate / 100).std() / n
    assert r.half_width(rate, n) == pytest.approx(1.96 * sd)
    assert r.half_width_share(r.half_width(rate, n), rate, n) == pytest.approx(1)


@given(curves.filter(lambda curve: abs(curve[-1] - curve[0]) > 1))
def test_expected_layer_is_a_mean_weighted_by_gains(curve):
    oracle = np.average(np.arange(1, len(curve)), weights=np.diff(curve))
    assert r.expected_layer(*curve) == pytest.approx(oracle, rel=1e-6, abs=1e-6)


@given(curves)
def test_center_of_gravity_and_mix_bits_match_numpy_and_scipy(weights):
    uniform = [1 / len(weights)] * len(weights)
    share = np.array(weights) / sum(weights)
    layers = np.arange(len(weights))
    assert r.center_of_gravity(*weights) == pytest.approx(np.average(layers, weights=weights))
    assert r.mix_bits(*weights) == pytest.approx(stats.entropy(share, uniform, base=2), abs=1e-9)


def test_gain_bits_drops_losses_and_is_zero_for_even_gains():
    assert r.gain_bits(1, 2, 3, 4) == pytest.approx(0)
    assert r.gain_bits(1, 2, 1.5, 2.5) == pytest.approx(math.log2(3 / 2))
    assert r.gain_bits(0, 0, 0, 7) == pytest.approx(math.log2(3))


@given(st.lists(st.floats(-5, 5), min_size=6, max_size=6))
def test_rule_weights_are_the_least_squares_fit(cells):
    design = [(s, t) for t in (1, 0, -1) for s in (1, -1)]
    (position, token), *_ = np.linalg.lstsq(np.array(design, float), np.array(cells), rcond=None)
    assert r.position_effect(*cells) == pytest.approx(position, abs=1e-9)
    assert r.token_effect(*cells) == pytest.approx(token, abs=1e-9)


@given(st.floats(0.5, 5), st.floats(0.1, 0.4), st.floats(0.01, 0.05))
def test_rule_errors_measure_the_shift_added_to_a_perfect_rule(position, token, shift):
    cells = [s * position + t * token + shift for t in (1, 0, -1) for s in (1, -1)]
    assert r.rule_error_of_whole(position, token, 4.0, *cells) == pytest.approx(25 * shift)
    oracle = 100 * statistics.fmean(shift / abs(cell) for cell in cells)
    assert r.rule_error_of_cell(position, token, *cells) == pytest.approx(oracle)


def test_implied_positions_inverts_the_share():
    assert r.implied_positions(26, 144, r.share(26, 144, 16)) == pytest.approx(16)


def test_weighted_total_needs_pairs():
    assert r.weighted_total(3, 2 / 3, 2, 1 / 2) == pytest.approx(3)
    with pytest.raises(ValueError, match="zip"):
        r.weighted_total(3, 2 / 3, 2)


def test_every_relation_is_listed_under_its_own_name():
    own = {name for name, thing in vars(r).items() if getattr(thing, "__module__", "") == r.__name__}
    assert {name for name in own if not name.startswith("_")} == set(r.RELATIONS)
