"""Curves by role on a hand-checkable model: three layers, four columns, and effects we chose."""

import numpy as np
import pytest

from replications.causal import roles
from replications.causal.roles import RestoredStates
from replications.evidence import stats


def made(n=8, layers=6):
    """Column 1 (the subject) restores everything in the lower half, column 3 (the last) in the upper half."""
    corrupted = np.linspace(-2, -1, n)
    clean = corrupted + np.linspace(3, 5, n)
    resid = np.tile(corrupted, (layers, 4, 1))
    resid[: layers // 2, 1] = clean
    resid[layers // 2 :, 3] = clean
    return RestoredStates(clean, corrupted, resid)


COLUMNS = {"subject": [[1]] * 8, "after": [[2]] * 8, "last": [[3]] * 8}
WEIGHTS = stats.resample_weights(8, resamples=100, seed=0)


def test_restoration_is_zero_or_one_where_it_was_made_so():
    curves = roles.role_draws(made(), COLUMNS, WEIGHTS)
    assert np.allclose(curves["subject"][0], [1, 1, 1, 0, 0, 0])
    assert np.allclose(curves["after"][0], 0)
    assert np.allclose(curves["last"][0], [0, 0, 0, 1, 1, 1])


def test_restoration_is_the_ratio_of_mean_effects_not_the_mean_of_ratios():
    cells = made()
    cells.resid_pre[0, 2, 0] += 1.0  # one prompt, one logit
    curve, n = roles.role_draws(cells, COLUMNS, WEIGHTS)["after"]
    assert n == 8
    assert curve[0, 0] == pytest.approx(1 / cells.total_effect.sum())


def test_several_columns_of_a_role_are_averaged_and_missing_ones_left_out():
    columns = {"both": [[1, 2]] * 5 + [[]] * 3, "rare": [[1]] * 4 + [[]] * 4}
    curves = roles.role_draws(made(), columns, WEIGHTS)
    assert np.allclose(curves["both"][0], [0.5, 0.5, 0.5, 0, 0, 0])
    assert curves["both"][1] == 5
    assert "rare" not in curves


def test_early_and_late_are_thirds():
    curves = roles.role_draws(made(), COLUMNS, WEIGHTS)
    tree = roles.role_quantities(curves)
    assert tree["subject"]["early"]["value"] == pytest.approx(1)
    assert tree["subject"]["late"]["value"] == pytest.approx(0)
    assert tree["last"]["late"]["value"] == pytest.approx(1)
    assert tree["last"]["late"]["n"] == 8


def test_handover_is_where_the_last_token_takes_over():
    curves = roles.role_draws(made(), COLUMNS, WEIGHTS)
    tree = roles.handover(curves["subject"][0], curves["last"][0], 8)
    assert tree["layer"] == stats.leaf(3.0, 3.0, 3.0, 8)
    assert tree["depth"]["value"] == 0.5


def test_tables_are_tidy():
    table = roles.curve_table(roles.role_draws(made(), COLUMNS, WEIGHTS))
    assert list(table.columns) == ["layer", "role", "restoration", "ci_low", "ci_high", "n"]
    assert len(table) == 6 * 3
    assert (table.ci_low <= table.restoration + 1e-9).all()


def test_pair_map_is_per_pair():
    assert np.allclose(roles.pair_map(made(), 3)[:, 1], [1, 1, 1, 0, 0, 0])


def test_some_prompts_keep_their_own_numbers():
    part = made().prompts(slice(1, None))
    assert np.array_equal(part.clean, made().clean[1:])
    assert part.resid_pre.shape == (6, 4, 7)
