"""Quantities of the location room from arrays that we chose."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toy_tokenizer import toy_encode

from replications.causal.experiment import Result
from replications.causal.roles import RestoredStates
from replications.rome import quantities as method
from replications.rome.stimuli import LandmarkFact, Pair

N, LAYERS, WIDTH = 8, 6, 6  # BOS The Old Tower is in


def fact(name, answer):
    return LandmarkFact(name, f"City{answer}", toy_encode("The Old Tower is in"), (1, 2, 3), answer)


PAIRS = [Pair(fact(f"a{i}", 3), fact(f"b{i}", 4), WIDTH) for i in range(N)]


def result():
    """The last subject token carries the city in the lower half of the layers, the last token in the upper half."""
    corrupted, clean = np.full(N, -2.0), np.full(N, 2.0)
    resid = np.tile(corrupted, (LAYERS, WIDTH, 1))
    resid[:3, 3] = clean
    resid[3:, 5] = clean
    behaviour = SimpleNamespace(
        clean=torch.tensor([5.0, *[1.0] * 6, -1.0]), corrupted=torch.full((N,), -2.0), p_answer=torch.zeros(N)
    )
    return Result(behaviour, RestoredStates(clean, corrupted, resid), None)


@pytest.fixture(scope="module")
def tree():
    known = [True, True, False, True]
    return method.quantities(result(), PAIRS, list(range(N)), known, resamples=200, seed=0)


def test_the_article_pair_stands_alone(tree):
    assert tree["article"]["log_ratio_clean"]["value"] == 5
    assert tree["article"]["early"]["subject_last"]["value"] == pytest.approx(1)
    assert tree["article"]["late"]["last"]["value"] == pytest.approx(1)


def test_pairs_exclude_it(tree):
    assert tree["pairs"]["accuracy"]["value"] == pytest.approx(6 / 7)
    assert tree["pairs"]["log_ratio_clean"]["value"] == pytest.approx(5 / 7)
    assert tree["pairs"]["total_effect"]["n"] == N - 1


def test_known_share(tree):
    assert tree["known"]["share"]["value"] == 0.75


def test_roles_and_handover(tree):
    assert tree["roles"]["subject_last"]["early"]["value"] == pytest.approx(1)
    assert tree["roles"]["subject_first"]["early"]["value"] == pytest.approx(0)
    assert tree["roles"]["last"]["late"]["value"] == pytest.approx(1)
    assert tree["handover"]["depth"]["value"] == 0.5


def test_token_classes():
    one = LandmarkFact("one", "X", toy_encode("Tower is in"), (1,), 3)
    columns = method.role_columns([PAIRS[0], Pair(one, one, 4)])
    assert columns["subject_first"] == [[1], []]
    assert columns["subject_middle"] == [[2], []]
    assert columns["subject_last"] == [[3], [3]]
    assert columns["after"] == [[4], [4]]
    assert columns["last"] == [[5], [5]]


def test_subject_tokens_without_a_counterpart_play_no_role():
    long = PAIRS[0].clean
    short = LandmarkFact("short", "X", toy_encode("Tower is in"), (1,), 3)
    columns = method.role_columns([Pair(long, short, 3)])
    assert columns["subject_first"] == [[]]
    assert columns["subject_last"] == [[3]]


class Oracle:
    """A stand-in for a bridge whose last-position logits we choose."""

    def __init__(self, logits):
        self.logits = logits

    def __call__(self, tokens, attention_mask, logits_to_keep):
        return self.logits.expand(len(tokens), 1, -1)


def test_a_fact_is_known_when_its_city_beats_the_other_cities():
    facts = [fact("a", 3), fact("b", 4), fact("c", 5)]
    logits = torch.tensor([9.0, 0, 0, 1, 2, 1.5])  # token 0 is no city and does not count
    assert method.knows(Oracle(logits), facts, device="cpu") == [False, True, False]
