"""The area under the curve is the share of pairs in the right order, to the bit."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from replications.evidence.stats import auroc


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
