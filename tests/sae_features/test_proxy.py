"""The proxy by hand, and what it says of tokens that are never in a class or never in the text."""

import numpy as np
import pytest

from replications.sae_features.proxy import log_likelihood_ratio


def test_the_ratio_is_that_of_the_smoothed_shares():
    tokens = np.array([0, 0, 0, 1, 1, 2])
    inside = np.array([[True], [False], [False], [True], [True], [False]])
    found = log_likelihood_ratio(tokens, inside, 4)[:, 0]
    for token, (within, share) in enumerate([(1, 3 / 6), (2, 2 / 6), (0, 1 / 6)]):
        assert found[token] == pytest.approx(np.log((within + share) / (3 + 1) / share))
    assert found[3] == 0  # never seen


def test_never_in_the_class_reads_the_same_however_frequent():
    tokens = np.repeat([0, 1, 2], [500, 5, 20])
    found = log_likelihood_ratio(tokens, (tokens == 2)[:, None], 3)[:, 0]
    assert found[0] == pytest.approx(found[1])
    assert found[0] == pytest.approx(-np.log(21))
    assert found[2] > 3


def test_a_class_of_no_token_says_nothing():
    assert not log_likelihood_ratio(np.array([0, 1, 1]), np.zeros((3, 1), bool), 2).any()
