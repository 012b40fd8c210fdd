"""The layer summaries against oracles, planted series, and the values printed by their authors."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from replications.audit.tables import read_tables
from replications.probing import series

weights = st.lists(st.floats(0.01, 5), min_size=3, max_size=25)


@given(st.integers(1, 24), st.integers(1, 24), st.floats(0.1, 50))
def test_a_single_step_has_its_own_layer_and_the_most_bits(layers, step, height):
    step = min(step, layers)
    curve = [10.0] * step + [10.0 + height] * (layers + 1 - step)
    assert series.expected_layer(curve) == pytest.approx(step)
    assert series.gain_bits(curve) == pytest.approx(math.log2(layers))


@given(weights)
def test_weights_against_numpy_and_scipy(values):
    share = np.array(values) / sum(values)
    assert series.center_of_gravity(values) == pytest.approx(np.average(np.arange(len(values)), weights=values))
    uniform = np.full(len(values), 1 / len(values))
    assert series.mix_bits(values) == pytest.approx(stats.entropy(share, uniform, base=2), abs=1e-9)


@given(st.lists(st.floats(0, 100), min_size=4, max_size=20).filter(lambda curve: abs(curve[-1] - curve[0]) > 1))
def test_draws_are_computed_as_single_series_are(curve):
    both = np.stack([curve, np.array(curve) ** 2 / 100])
    for function in (series.expected_layer, series.gain_bits, series.center_of_gravity, series.mix_bits):
        together = function(both)
        assert together == pytest.approx([float(function(one)) for one in both], nan_ok=True)


def test_losses_count_in_the_mean_layer_and_not_in_the_bits():
    curve = [0, 2, 1, 3]
    assert series.expected_layer(curve) == pytest.approx((1 * 2 - 2 * 1 + 3 * 2) / 3)
    assert series.gain_bits(curve) == pytest.approx(math.log2(3 / 2))


def test_without_any_gain_there_is_no_layer():
    assert np.isnan(series.expected_layer([5.0, 6.0, 5.0]))
    assert np.isnan(series.gain_bits([5.0, 4.0, 3.0]))


@pytest.mark.parametrize(("end", "share"), [(0, 0), (1 / 3, 0.75), (0.5, 0.75), (2 / 3, 0.75), (1, 1)])
def test_share_of_gain_is_read_off_the_straight_lines_between_layers(end, share):
    assert series.share_of_gain([10, 25, 40, 40, 40, 45, 50], end) == pytest.approx(share)
    assert series.share_of_gain([0, 1, 2, 3], end) == pytest.approx(end)


@pytest.mark.parametrize("relation", ["expected_layer", "gain_bits", "center_of_gravity", "mix_bits"])
def test_every_printed_value_follows_from_the_authors_own_series(relation):
    tables = [table for table in read_tables().values() if table.relation == relation]
    rows = [(row, table.decimals[0]) for table in tables for row in table.rows.values()]
    assert len(rows) >= 8
    for (printed, *values), decimals in rows:
        assert float(getattr(series, relation)(values)) == pytest.approx(printed, abs=2 * 10**-decimals)
