"""Landmark pairs by rule: equal length, different answers, never by result."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_tokenizer import toy_encode

from replications.errors import Refusal
from replications.rome import stimuli
from replications.stimuli.language import ArticlePair, Landmark, LocationStimuli


def location(n=80, cities=10):
    landmarks = [
        Landmark(id=f"mark{i}", subject=" ".join(["The", *["Old"] * (i % 3), f"M{i}"]), city=f"City{i % cities}")
        for i in range(n)
    ]
    return LocationStimuli(
        frame="{subject} is in", article_pair=ArticlePair(clean="mark0", corrupted="mark3"), landmarks=landmarks
    )


def fact(name, words, city):
    landmark = Landmark(id=name, subject=" ".join(["The"] * words), city=city)
    return stimuli.make_fact(landmark, "{subject} is in", toy_encode, " ")


def test_subject_tokens_and_answer():
    made = stimuli.make_fact(
        Landmark(id="x", subject="The Old Tower", city="Paris"), "{subject} is in", toy_encode, " "
    )
    assert made.subject == (1, 2, 3)  # after the BOS
    assert made.answer == toy_encode("a Paris").ids[-1]


def test_pairs_have_equal_length_and_different_answers():
    pairs = stimuli.build_pairs(location(), toy_encode, prefix=" ", seed=0).pairs
    assert len(pairs) >= stimuli.MIN_PAIRS
    for pair in pairs:
        assert len(pair.clean.prompt.ids) == len(pair.corrupted.prompt.ids)
        assert pair.clean.answer != pair.corrupted.answer


def test_every_landmark_is_clean_at_most_once():
    pairs = stimuli.build_pairs(location(), toy_encode, prefix=" ", seed=0).pairs
    names = [pair.clean.id for pair in pairs]
    assert len(names) == len(set(names))


def test_the_seed_decides_and_nothing_else():
    first, again, other = (
        [(p.clean.id, p.corrupted.id) for p in stimuli.build_pairs(location(), toy_encode, prefix=" ", seed=s).pairs]
        for s in (0, 0, 1)
    )
    assert first == again
    assert first != other


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from("PQR")), min_size=1, max_size=25), st.integers(0, 5))
def test_a_landmark_is_left_out_only_when_nobody_fits(drawn, seed):
    facts = [fact(f"f{i}", words, city) for i, (words, city) in enumerate(drawn)]
    paired = {pair.clean.id for pair in stimuli.pair_up(facts, seed)}
    for one in facts:
        fits = any(len(o.prompt.ids) == len(one.prompt.ids) and o.answer != one.answer for o in facts)
        assert (one.id in paired) == fits


def test_a_pair_of_unequal_token_length_is_refused():
    with pytest.raises(Refusal, match=r"pair a/b: 5 tokens against 6 .* equal token length"):
        stimuli.check_pair(fact("a", 2, "Rome"), fact("b", 3, "Oslo"))


def test_the_quoted_pair_may_be_unequal_and_is_aligned_at_its_end():
    pair = stimuli.quoted_pair(fact("a", 2, "Rome"), fact("b", 3, "Oslo"))
    assert pair.aligned == 4  # two subject tokens, "is", "in"
    equal = stimuli.quoted_pair(fact("a", 2, "Rome"), fact("b", 2, "Oslo"))
    assert equal.aligned == len(equal.clean.prompt.ids)


def test_a_pair_with_one_answer_is_refused():
    with pytest.raises(Refusal, match="same token"):
        stimuli.check_pair(fact("a", 2, "Rome"), fact("b", 2, "Rome"))


def test_too_few_pairs_are_refused():
    with pytest.raises(Refusal, match="only 20 pairs"):
        stimuli.build_pairs(location(n=20), toy_encode, prefix=" ", seed=0)
