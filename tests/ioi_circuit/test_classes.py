"""The rules, on effects that we made: what stands out, who is in doubt, and which class follows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replications.ioi_circuit import classes

LAYERS, HEADS, N = 6, 5, 30
CLEAN = np.full(N, 4.0)


def effects(planted, noise=0.02, seed=0, n=N):
    """Noise around zero, and heads whose effect has the planted mean."""
    made = noise * np.random.default_rng(seed).standard_normal((LAYERS, HEADS, n))
    for (layer, head), mean in planted.items():
        made[layer, head] += mean
    return made


def attention(**most):
    """Every head looks at nothing in particular, and each listed one at a pair of positions."""
    looks = {name: np.full((LAYERS, HEADS), 0.1) for name in classes.NAMES}
    for name, heads in most.items():
        for head in heads:
            looks[name][head] = 0.6
    return looks


def scores(**high):
    found = {name: np.full((LAYERS, HEADS), 0.01) for name in ("induction", "duplicate", "previous")}
    for name, heads in high.items():
        for head in heads:
            found[name][head] = 0.8
    return found


def test_writers_are_told_apart_by_sign_and_attention():
    made = effects({(4, 1): -1.0, (5, 2): 0.8, (3, 3): -0.9, (5, 0): 0.7})
    looks = attention(END_IO=[(4, 1), (5, 2), (2, 2)], END_S2=[(3, 3)])
    movers, negative, others = classes.writers(made, CLEAN, looks)
    assert (movers, negative, others) == ([(4, 1)], [(5, 2)], [(3, 3), (5, 0)])


def test_s_inhibition_helps_and_looks_at_s2():
    made = effects({(2, 0): -0.5, (2, 1): 0.5, (3, 4): -0.5})
    looks = attention(END_S2=[(2, 0), (2, 1)], END_S1=[(3, 4)])
    assert classes.s_inhibition(made, CLEAN, looks) == [(2, 0)]


def test_induction_and_duplicate_heads_by_the_larger_score():
    made = effects({(1, 0): -0.5, (0, 2): -0.5, (2, 2): -0.5, (2, 3): 0.5})
    found = classes.early(made, CLEAN, scores(induction=[(1, 0), (2, 3)], duplicate=[(0, 2)]))
    assert found == ([(1, 0)], [(0, 2)])


def test_previous_token_heads_are_candidates_that_help():
    looks = scores(previous=[(0, 0), (0, 1)])
    assert classes.looks_back(looks) == [(0, 0), (0, 1)]
    made = effects({(0, 0): -0.5})
    made[1:] = np.nan
    assert classes.previous_token(made, CLEAN) == [(0, 0)]


def test_backups_step_in_after_the_knockout():
    before = effects({(3, 0): -1.0, (4, 0): -0.3, (5, 1): -0.5})
    after = effects({(3, 0): -1.0, (4, 0): -0.9, (5, 1): -0.5, (5, 3): -0.6}, seed=1)
    after[:3] = np.nan  # not asked again
    assert classes.backups(before, after, CLEAN, known=[(3, 0)]) == [(4, 0), (5, 3)]


def test_each_of_the_three_conditions_is_needed():
    small = effects({(1, 1): -0.03}, noise=1e-4)
    assert not classes.acts(small, CLEAN).any()  # below one percent of 4
    assert classes.acts(small, CLEAN / 4)[1, 1] == -1
    spread = effects({(layer, head): -0.5 for layer in range(3) for head in range(HEADS)})
    assert not classes.acts(spread, CLEAN).any()  # half the heads: nobody stands out
    assert classes.acts(spread, CLEAN, among_all=False)[:3].all()
    loud = effects({(1, 1): -1.0}, noise=2.0)
    loud[[0, 2, 3, 4, 5]] /= 100
    assert classes.acts(loud, CLEAN)[1, 1] == 0  # not beyond the noise


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1 << 30), st.floats(0.01, 2))
def test_pure_noise_is_almost_never_a_head(seed, noise):
    assert np.abs(classes.acts(effects({}, noise=noise, seed=seed), CLEAN)).sum() <= 1


@given(st.floats(0.1, 100), st.integers(0, 100))
def test_the_rules_have_no_scale(scale, seed):
    made = effects({(4, 1): -1.0, (5, 2): 0.8}, seed=seed)
    assert np.array_equal(classes.acts(made, CLEAN), classes.acts(scale * made, scale * CLEAN))


def test_whoever_stands_out_was_in_doubt_on_the_first_prompts():
    made = effects({(4, 1): -0.4, (5, 2): 0.3}, noise=0.1)
    doubtful = classes.in_doubt(made[..., :10], CLEAN)
    assert {(4, 1), (5, 2)} <= set(doubtful)
    assert len(doubtful) < LAYERS * HEADS


def test_moments_are_over_the_prompts_that_were_asked():
    made = effects({(4, 1): -1.0}, noise=0.3)
    made[0, 0, 10:] = np.nan
    made[0, 1] = np.nan
    mean, error = classes.moments(made)
    assert mean[0, 0] == pytest.approx(made[0, 0, :10].mean())
    assert error[0, 0] == pytest.approx(made[0, 0, :10].std(ddof=1) / np.sqrt(10))
    assert error[4, 1] == pytest.approx(made[4, 1].std(ddof=1) / np.sqrt(N))
    assert np.isnan([mean[0, 1], error[0, 1]]).all()
    assert classes.acts(made, CLEAN)[0, 1] == 0


def test_overlap_with_a_published_set():
    found = classes.against_published(["9.9", "9.6", "8.1"], ["9.9", "9.6", "10.0"], 144)
    assert (found["precision"], found["recall"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert found["overlap"] == 0.5
    assert found["precision_by_chance"] == found["recall_by_chance"] == pytest.approx(3 / 144)
    nothing = classes.against_published([], ["9.9"], 144)
    assert (nothing["recall"], nothing["overlap"], np.isnan(nothing["precision"])) == (0, 0, True)


def test_labels_are_the_papers():
    assert classes.label((9, 10)) == "9.10"
