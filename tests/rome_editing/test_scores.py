"""CounterFact's scores against cases worked out by hand."""

import numpy as np
import pytest
from rome_editing import oracle

from replications.evidence import stats
from replications.rome_editing import scores


def log(*pairs):
    """Prompts with these (P(o*), P(o_c))."""
    return np.log(np.array(pairs))


FACTS = [
    {"rewrite": log((0.9, 0.1)), "paraphrase": log((0.6, 0.2), (0.1, 0.3)), "neighbour": log((0.1, 0.5), (0.2, 0.4))},
    {"rewrite": log((0.2, 0.4)), "paraphrase": log((0.5, 0.1), (0.5, 0.3)), "neighbour": log((0.7, 0.1))},
    {"rewrite": log((0.8, 0.0001)), "paraphrase": log((0.5, 0.1)), "neighbour": log((0.1, 0.2))},
]
WEIGHTS = stats.resample_weights(3, resamples=300, seed=0)


def test_scores_by_hand():
    table = scores.per_fact(FACTS)
    np.testing.assert_allclose(table["ES"], [1, 0, 1])
    np.testing.assert_allclose(table["PS"], [0.5, 1, 1])
    np.testing.assert_allclose(table["NS"], [1, 0, 1])
    np.testing.assert_allclose(table["EM"], [0.8, -0.2, 0.7999], atol=1e-9)
    np.testing.assert_allclose(table["PM"], [0.1, 0.3, 0.4], atol=1e-9)
    np.testing.assert_allclose(table["NM"], [0.3, -0.6, 0.1], atol=1e-9)
    tree = scores.quantities(table, WEIGHTS)
    assert tree["S"]["value"] == pytest.approx(3 / (1 / (2 / 3) + 1 / (2.5 / 3) + 1 / (2 / 3)))
    assert tree["EM"]["value"] == pytest.approx((0.8 - 0.2 + 0.7999) / 3)
    assert all(leaf["n"] == 3 for leaf in tree.values())
    assert all(leaf["ci_low"] <= leaf["value"] <= leaf["ci_high"] for leaf in tree.values())


@pytest.mark.parametrize("n", range(2, 30))
def test_unanimous_facts_have_the_exact_interval(n):
    """For every n: fourteen fourteenths do not add up to exactly one."""
    weights = stats.resample_weights(n, resamples=50, seed=0)
    for fact, wanted in ((0, True), (1, False)):
        table = scores.per_fact([FACTS[fact]] * n)
        leaf = scores.quantities(table, weights)["ES"]
        assert leaf == stats.share([wanted] * n)
        assert leaf["ci_low"] < leaf["ci_high"]


def test_a_fact_without_neighbours_does_not_count_for_them():
    bare = [{**FACTS[0], "neighbour": np.empty((0, 2))}, *FACTS[1:]]
    tree = scores.quantities(scores.per_fact(bare), WEIGHTS)
    assert (tree["NS"]["n"], tree["ES"]["n"]) == (2, 3)
    assert tree["NS"]["value"] == 0.5


def test_no_fact_with_neighbours_no_score_of_them():
    bare = [{"rewrite": fact["rewrite"], "paraphrase": fact["paraphrase"]} for fact in FACTS]
    tree = scores.quantities(scores.per_fact(bare), WEIGHTS)
    assert "NS" not in tree
    assert "S" not in tree
    assert scores.difference(scores.per_fact(bare)["NS"], scores.per_fact(bare)["NS"], WEIGHTS) is None


def test_nothing_that_takes_makes_the_harmonic_mean_zero():
    """And not almost zero; a resample with some success has one of its own."""
    table = scores.per_fact([{**FACTS[0], "rewrite": log((0.1, 0.2))}, FACTS[1]])
    assert scores.quantities(table, stats.resample_weights(2, resamples=50, seed=0))["S"]["value"] == 0


def test_what_is_lost_is_paired():
    before, after = np.array([1.0, 0.5, np.nan]), np.array([0.5, 0.0, np.nan])
    leaf = scores.difference(before, after, WEIGHTS)
    assert (leaf["value"], leaf["ci_low"], leaf["ci_high"], leaf["n"]) == (0.5, 0.5, 0.5, 2)


def test_probabilities_are_geometric_means_over_tokens():
    """Two tokens of an object count as one: a long object is not punished for its length."""
    import torch

    from replications.rome_editing.evaluate import log_probs
    from replications.rome_editing.packed import open_model
    from replications.rome_editing.rows import merged

    model = oracle.hf_model("qwen2")
    net = open_model(model)
    wanted = [((5, 6, 7), (8, 9)), ((5, 6, 7), (10,)), ((5, 6, 7), (11,)), ((4, 4), (9, 3, 12))]
    rows, picks = merged(wanted)
    assert len(rows) == 3  # two answers of one token share a row
    found = log_probs(net, net.record(rows, [0]).states, rows, picks)
    for (prompt, answer), mine in zip(wanted, found, strict=True):
        with torch.no_grad():
            logp = model(torch.tensor([[*prompt, *answer]])).logits[0].log_softmax(-1)
        each = [logp[len(prompt) - 1 + i, token] for i, token in enumerate(answer)]
        torch.testing.assert_close(mine, torch.stack(each).mean(), atol=1e-4, rtol=1e-4)
