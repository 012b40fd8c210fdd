"""Counts become the paper's quantities; what is not defined is null; intervals hold what they should."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from replications.claims.schema import Estimate
from replications.edge_probing import summary
from replications.edge_probing.probe import Probe
from replications.edge_probing.summary import Outcome
from replications.evidence import stats as lens_stats
from replications.probing import series

LAYERS, TARGETS, SENTENCES = 5, 20, 60
OPTIONS = {"resamples": 200, "seed": 0}


def outcome(rates, *, seeds=2, twin=None, seed=0):
    """Probes that are right with these rates, one label per target: F1 is then the rate."""
    rng = np.random.default_rng(seed)
    probes = [Probe(depth, s) for s in range(seeds) for depth in range(LAYERS)]
    probes += [Probe(depth, 0, source=1) for depth in range(LAYERS)] + [Probe(LAYERS - 1, 0, shuffled=True)]
    share = [*rates] * seeds + [*(twin or [0.3] * LAYERS), 0.1]
    hits = rng.binomial(TARGETS, np.array(share)[:, None], (len(share), SENTENCES)).astype(float)
    mix = np.zeros((len(probes), 2 * LAYERS))
    for row, probe in enumerate(probes):
        first = probe.source * LAYERS
        mix[row, first : first + probe.depth + 1] = 1 / (probe.depth + 1)
    most = np.stack([np.full(SENTENCES, 5.0), np.full(SENTENCES, 15.0), np.full(SENTENCES, 15.0)])
    return Outcome(probes, np.stack([hits, TARGETS - hits, TARGETS - hits]), mix, most, LAYERS)


def step(at, low=0.4, high=0.9):
    return [low if depth < at else high for depth in range(LAYERS)]


@pytest.fixture(scope="module")
def tree():
    tasks = {"pos": step(1), "deps": step(2), "coref": step(3), "relations": step(4)}
    return summary.quantities(
        {name: outcome(rates, seed=i) for i, (name, rates) in enumerate(tasks.items())}, 0, **OPTIONS
    )


def test_planted_layers_are_found_with_their_order(tree):
    for task, at in {"pos": 1, "deps": 2, "coref": 3, "relations": 4}.items():
        leaf = tree["expected_layer"][task]
        assert leaf["value"] == pytest.approx(at, abs=0.1)
        assert leaf["ci_low"] <= leaf["value"] <= leaf["ci_high"]
        assert tree["expected_depth"][task]["value"] == pytest.approx(leaf["value"] / (LAYERS - 1))
        assert 1.4 < tree["k_delta"][task]["value"] <= 2  # all gain at one layer of four, but for noise
    assert tree["order"]["by_expected_layer"]["value"] == ["pos", "deps", "coref", "relations"]
    assert tree["order"]["tau_base"]["value"] == 1
    assert tree["order"]["tau_large"]["value"] == pytest.approx(4 / 6)  # coreference and relations trade places
    assert tree["groups"]["semantics_minus_syntax"]["ci_low"] > 0
    assert tree["groups"]["syntax_first_third"]["value"] == pytest.approx((1 + 1 / 3) / 2, abs=0.1)


def test_the_sample_itself_is_the_value_and_baselines_need_no_model(tree):
    assert tree["curve"]["pos"]["0"]["value"] == pytest.approx(40, abs=3)
    assert tree["gain"]["pos"]["value"] == pytest.approx(
        tree["f1_full"]["pos"]["value"] - tree["f1_layer0"]["pos"]["value"]
    )
    assert tree["majority"]["pos"]["value"] == pytest.approx(25)
    assert tree["shuffled"]["pos"]["value"] == pytest.approx(10, abs=2)
    assert tree["mix"]["pos"]["2"]["value"] == pytest.approx(0.2)
    assert tree["k_s"]["pos"]["value"] == pytest.approx(0, abs=1e-9)
    assert tree["center_of_gravity"]["pos"]["value"] == pytest.approx(2)


def test_every_leaf_is_an_estimate(tree):
    def leaves(node):
        return [node] if "value" in node else [leaf for child in node.values() for leaf in leaves(child)]

    assert len([Estimate.model_validate(leaf) for leaf in leaves(tree)]) > 50


@pytest.mark.parametrize("rates", [[0.5] * LAYERS, [0.6, 0.5, 0.5, 0.5, 0.4]])
def test_without_a_gain_there_is_no_expected_layer(rates):
    outcomes = {"pos": outcome(rates), "deps": outcome(step(2))}
    tree = summary.quantities(outcomes, 0, **OPTIONS)
    for name in ("expected_layer", "expected_depth", "k_delta", "first_third"):
        assert tree[name]["pos"]["value"] is None
        assert tree[name]["deps"]["value"] is not None
    assert summary.undefined(outcomes, 0, **OPTIONS) == ["pos"]
    assert tree["order"]["by_expected_layer"]["value"] == ["deps"]
    assert tree["order"]["tau_large"]["value"] is None  # one task has no order
    assert tree["groups"]["semantics_minus_syntax"]["value"] is None


def test_the_twin_is_read_from_its_own_probes():
    one = {"pos": outcome(step(1), twin=step(3, low=0.2))}
    tree = summary.quantities(one, 1, **OPTIONS)
    assert tree["expected_layer"]["pos"]["value"] == pytest.approx(3, abs=0.1)
    assert tree["f1_layer0"]["pos"]["value"] == pytest.approx(20, abs=3)
    assert "shuffled" not in tree


def test_intervals_hold_both_sentences_and_seeds():
    """Two seeds that disagree widen the interval beyond what the sentences alone give."""
    same, other = outcome(step(2), seeds=2), outcome(step(2), seeds=2)
    other.counts[:, LAYERS : 2 * LAYERS] = outcome(step(2, 0.1, 0.6), seed=5).counts[:, :LAYERS]
    width = {name: np.ptp(np.quantile(summary.draws(each, 0, **OPTIONS).curve[1:, 0], [0.025, 0.975]))
             for name, each in {"same": same, "other": other}.items()}  # fmt: skip
    assert width["other"] > 4 * width["same"]


def test_a_draw_is_a_bootstrap_of_sentences():
    """Oracle: resampling whole sentences by hand."""
    each, rng = outcome(step(2), seeds=1), np.random.default_rng(1)
    drawn = summary.draws(each, 0, resamples=2000, seed=3)
    rows = np.array(each.rows(0)[0])
    by_hand = []
    for _ in range(2000):
        chosen = rng.integers(SENTENCES, size=SENTENCES)
        by_hand.append(series.f1(each.counts[:, rows][:, :, chosen].sum(axis=-1)))
    assert drawn.curve[1:].std(axis=0) == pytest.approx(np.std(by_hand, axis=0), rel=0.1)
    assert drawn.curve[0] == pytest.approx(series.f1(each.counts[:, rows].sum(axis=-1)))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0, 12), min_size=3, max_size=8, unique=True))
def test_kendall_against_scipy(values):
    ranks = np.arange(len(values))
    assert summary.kendall(np.array([values]), ranks)[0] == pytest.approx(
        scipy_stats.kendalltau(values, ranks).statistic
    )


def test_the_table_has_a_row_per_task_and_layer():
    table = summary.table({"pos": outcome(step(1)), "deps": outcome(step(2))}, 0, **OPTIONS)
    assert list(table.columns) == ["task", "layer", "f1", "ci_low", "ci_high", "delta", "mix", "n", "seeds"]
    assert len(table) == 2 * LAYERS
    pos = table[table["task"] == "pos"]
    assert pos["delta"].iloc[1:].to_numpy() == pytest.approx(series.gains(pos["f1"].to_numpy()))


def test_between_probed_depths_the_score_rises_evenly():
    """Probes at every second depth: what they gain lies half-way, and the mix still has all layers."""
    whole = outcome([0.4, 0.4, 0.6, 0.8, 0.8])
    kept = [i for i, probe in enumerate(whole.probes) if probe.depth % 2 == 0]
    some = Outcome([whole.probes[i] for i in kept], whole.counts[:, kept], whole.mix[kept], whole.majority, LAYERS)
    all_drawn, drawn = (summary.draws(each, 0, **OPTIONS) for each in (whole, some))
    assert drawn.scores == pytest.approx(all_drawn.curve[:, ::2])
    assert drawn.curve[:, 1] == pytest.approx((drawn.curve[:, 0] + drawn.curve[:, 2]) / 2)
    tree = summary.quantities({"pos": some}, 0, **OPTIONS)
    assert tree["expected_layer"]["pos"]["value"] == pytest.approx(2.5, abs=0.1)  # halves of .2 at 1, 2, 3 and 4
    assert (set(tree["curve"]["pos"]), set(tree["delta"]["pos"])) == ({"0", "2", "4"}, {"2", "4"})
    assert set(tree["mix"]["pos"]) == {"0", "1", "2", "3", "4"}
    table = summary.table({"pos": some}, 0, **OPTIONS)
    assert table["f1"].isna().tolist() == [False, True, False, True, False]
    assert table["mix"].notna().all()


def test_resamples_without_any_gain_are_left_out_of_the_interval():
    values = np.array([2.0, 1.0, np.nan, 3.0])
    assert summary._when(True, values, 9) == lens_stats.interval(np.array([2.0, 1.0, 3.0]), 9)
    assert summary._when(False, values, 9)["value"] is None
