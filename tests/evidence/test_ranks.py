"""The area under the curve is the share of pairs in the right order, to the bit; Spearman's correlation is scipy's."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from replications.evidence.stats import auroc, spearman


def test_ties_count_half():
    assert auroc([2, 3], [0, 1]) == 1
    assert auroc([1], [1, 1]) == 0.5
    assert auroc([0], [1, 0]) == 0.25
    assert auroc([0, 0], [0, 0]) == 0.5


@pytest.mark.parametrize("kinds", [3, 40, 10**9])
def test_every_column_is_the_exact_share_of_pairs(kinds):
    rng = np.random.default_rng(0)
    own, others = (rng.integers(0, kinds, (n, 200)) for n in (13, 57))
    twice = 2 * (own[:, None] > others[None]).sum(axis=(0, 1)) + (own[:, None] == others[None]).sum(axis=(0, 1))
    assert auroc(own, others).tolist() == (twice / (2 * 13 * 57)).tolist()
    theirs = roc_auc_score(np.repeat([1, 0], [13, 57]), np.concatenate([own[:, 0], others[:, 0]]))
    assert auroc(own, others)[0] == pytest.approx(theirs, abs=1e-12)


def test_what_is_stored_in_float32_is_ranked_as_it_is():
    own, others = np.float32([[0.1, 0.2]]).T, np.float32([[0.1, 0.3]]).T
    assert auroc(own, others).tolist() == [0.375]


def test_spearman_is_scipys_with_ties_too():
    rng = np.random.default_rng(0)
    for a, b in (rng.normal(size=(2, 7, 9)), rng.integers(0, 4, size=(2, 7, 9))):
        assert spearman(a, b) == pytest.approx([spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)])


def test_one_list_is_compared_with_every_row_to_the_bit():
    rng = np.random.default_rng(1)
    one, rows = rng.normal(size=9), rng.integers(0, 4, size=(7, 9))
    assert (spearman(one, rows) == [spearman(one, row) for row in rows]).all()


def test_a_flat_list_agrees_with_nothing():
    assert spearman([1, 1, 1], [[1, 2, 3], [2, 2, 2]]).tolist() == [0, 0]
