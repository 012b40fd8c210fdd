"""Token classes, columns and partners, from prompts that we wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_tokenizer import toy_encode

from replications.errors import Refusal
from replications.rome_tracing import stimuli
from replications.stimuli.facts import AskedFacts, Fact, KnownFact, Relation, locate

CAPITAL = Relation("capital", "P36", "The capital of {subject} is called", ())


def known(subject, thing, relation=CAPITAL):
    fact = locate(Fact(f"{relation.id}.{subject}", relation, subject, thing, "made up"), toy_encode, " ")
    assert isinstance(fact, KnownFact)
    return fact


NAMES = {"Peru": "Lima", "Cuba": "Havana", "San Marino": "Town", "New Guinea": "Moresby", "Burkina Faso": "Ouaga",
         "Ye Old Land Here": "Pub"}  # fmt: skip
KNOWN = [known(*each) for each in NAMES.items()]


def test_classes_of_a_long_subject():
    # BOS The capita l of Ye Old Land Here is called
    classes = stimuli.token_classes(12, KNOWN[-1].subject)
    assert classes == {"subject_first": [5], "subject_middle": [6, 7], "subject_last": [8], "first_after": [9],
                       "further": [10], "last": [11]}  # fmt: skip


def test_a_one_token_subject_is_only_its_last_token_and_a_lone_follower_only_the_last():
    assert stimuli.token_classes(4, [2]) == {
        "subject_first": [], "subject_middle": [], "subject_last": [2], "first_after": [], "further": [], "last": [3],
    }  # fmt: skip
    assert stimuli.token_classes(3, [1, 2])["last"] == []  # at the prompt's end the subject is what it is


@given(st.integers(0, 5), st.integers(1, 6), st.integers(0, 6))
def test_every_column_from_the_subject_on_has_one_class(before, subject, after):
    columns = list(range(before, before + subject))
    found = [c for some in stimuli.token_classes(before + subject + after, columns).values() for c in some]
    assert sorted(found) == list(range(before, before + subject + after))


def test_thinned_keeps_one_column_of_each_class_and_does_not_depend_on_other_facts():
    one = stimuli.prepare(KNOWN[-1], 3, every_column=False)
    every = stimuli.prepare(KNOWN[-1], 3, every_column=True)
    assert all(len(one.columns[name]) == bool(some) for name, some in every.columns.items())
    assert all(set(one.columns[name]) <= set(some) for name, some in every.columns.items())
    assert one == stimuli.prepare(KNOWN[-1], 3, every_column=False)
    drawn = {tuple(stimuli.prepare(KNOWN[-1], seed, every_column=False).columns["subject_middle"]) for seed in range(9)}
    assert drawn == {(6,), (7,)}


def test_other_columns_are_neither_bos_nor_subject_nor_last():
    for fact in KNOWN:
        others = stimuli.prepare(fact, 0, every_column=True).others
        forbidden = {0, *fact.subject, len(fact.encoded.ids) - 1}
        assert not forbidden & set(others)
        assert len(others) == min(len(fact.subject), len(fact.encoded.ids) - len(forbidden))
    alone = known("Peru", "Lima", Relation("x", "P1", "{subject} is", ()))
    assert stimuli.prepare(alone, 0, every_column=True).others == []


def test_partners_fit_token_by_token():
    pairs = stimuli.pairs(KNOWN, toy_encode, None, seed=1)
    assert {pair.id for pair in pairs} == {f"capital.{name}" for name in ("Peru", "Cuba", "San Marino", "New Guinea")}
    # Burkina Faso is two words of two pieces in all, and Ye Old Land Here four: nothing fits them
    for pair in pairs:
        start, end = pair.clean.subject[0], pair.clean.subject[-1] + 1
        assert len(pair.corrupted) == len(pair.clean.encoded.ids)
        assert pair.corrupted[:start] == pair.clean.encoded.ids[:start]
        assert pair.corrupted[end:] == pair.clean.encoded.ids[end:]
        assert pair.other.answer != pair.clean.answer


def test_pairs_with_a_middle_come_first():
    middle = [known("One Two Three", "X"), known("Four Five Six", "Y")]
    found = stimuli.pairs([*KNOWN[:2], *middle], toy_encode, 3, seed=1)
    assert [pair.id for pair in found] == ["capital.One Two Three", "capital.Four Five Six", "capital.Peru"]


def test_partners_share_the_relation_but_not_the_answer():
    twins = [
        known("Peru", "Lima"),
        known("Oman", "Lima"),
        known("Cuba", "Havana", Relation("x", "P1", CAPITAL.frame, ())),
    ]
    assert stimuli.pairs(twins, toy_encode, None, seed=1) == []


def test_a_partner_from_another_sentence_is_put_into_the_clean_one():
    """In the published list every fact has a sentence of its own."""
    other = known("Cuba", "Havana", Relation("capital", "P36", "{subject} has its capital at", ()))
    (pair,) = stimuli.pairs([KNOWN[0], other], toy_encode, 1, seed=1)
    assert pair.corrupted == toy_encode("The capital of Cuba is called").ids


def test_facts_are_drawn_in_an_order_of_their_own():
    facts = [known.fact for known in KNOWN]
    some = stimuli.drawn(facts, 4, 5)
    assert some == stimuli.drawn(facts, None, 5)[:4]
    assert set(stimuli.drawn(facts, None, 5)) == set(facts)
    assert some != facts[:4]


def test_too_few_known_facts_are_refused():
    whole = AskedFacts(KNOWN, KNOWN[:1], {})
    assert stimuli.enough(whole, "toy") is whole
    with pytest.raises(Refusal, match="toy: the model completes 4 of 5 facts; tracing needs 5"):
        stimuli.enough(AskedFacts(KNOWN[:4], KNOWN[:1], {}), "toy")
