"""Scores of texts made by hand."""

import numpy as np
import pytest

from replications.sae_steering import scores
from replications.sae_steering.concepts import read_concepts

CONCEPTS = {concept.name: concept for concept in read_concepts().concepts}


@pytest.mark.parametrize(("text", "concept", "share"), [
    ("The army fought.", "war", 2 / 4),
    ("ARMY army warm", "war", 2 / 3),
    ("warlike armyworm", "war", 0),
    ("12, seven", "numbers", 2 / 3),
    ("a == b", "code", 1 / 3),
    ("self.my_name", "code", 2 / 3),
    ("", "war", 0),
    (" \n", "sea", 0),
])  # fmt: skip
def test_the_lexical_score_counts_words_and_marks(text, concept, share):
    assert scores.lexical(text, CONCEPTS[concept]) == pytest.approx(share)


def test_every_held_out_sentence_has_words_of_its_concept_and_neutral_ones_few():
    for concept in CONCEPTS.values():
        assert all(scores.lexical(text, concept) > 0.1 for text in concept.held_out)
    neutral = read_concepts().neutral
    assert all(scores.lexical(text, concept) < 0.1 for text in neutral.held_out for concept in CONCEPTS.values())


def test_the_likelihood_score_is_the_log_ratio_to_the_others():
    found = scores.likelihood(np.array([[0.4, 0.1, 0.1]]))
    assert found == pytest.approx(np.array([[np.log(4), -np.log(2), -np.log(2)]]))


def test_the_likelihood_score_does_not_see_what_all_share():
    p = np.random.default_rng(0).random((5, 6))
    assert scores.likelihood(p * 0.01) == pytest.approx(scores.likelihood(p))
    assert np.isfinite(scores.likelihood(np.zeros((1, 3)))).all()


def test_a_text_that_goes_in_circles_is_not_distinct():
    assert scores.distinct([1, 2, 3, 4]) == 1
    assert scores.distinct([1, 2, 1, 2, 1]) == 0.5
    assert scores.distinct([7]) == 1
