"""Words that are noun and verb: balanced, disjoint, seeded."""

import random
from collections import Counter

import pytest

from replications.errors import Unavailable
from replications.layer_probing.noun_verb import noun_verb

LETTERS = "bcdfghklmn"
WORDS = [f"{a}a{b}e" for a in LETTERS for b in LETTERS]


def corpus(small, split: str) -> str:
    """Each word as a noun up to three times and as a verb up to three times; one word is a noun only."""
    draw = random.Random(split)
    made = []
    for word in [*WORDS, "onlynoun"]:
        for number in range(draw.randint(1, 3)):
            made.append(small.sentence(f"{split}-{word}-n{number}", "A DET DT 2 det", f"{word} NOUN NN 0 root"))
            if word != "onlynoun":
                made.append(
                    small.sentence(f"{split}-{word}-v{number}", f"{word.title()} VERB VB 0 root", "it PRON PRP 1 obj")
                )
    return "".join(made)


@pytest.fixture
def task(small, catalogue):
    catalogue["ewt"] = small.splits_of(lambda split: corpus(small, split))
    return lambda **fields: noun_verb(source="ewt", minimum=100, **fields)


def types(part):
    return {sentence.words[sentence.targets[0].span1[0]].lower() for sentence in part}


def test_types_are_disjoint_and_complete(task):
    found = task()
    parts = [types(part) for part in found.splits.values()]
    assert set.union(*parts) == set(WORDS)
    assert sum(map(len, parts)) == len(WORDS)
    assert [len(part) for part in parts] == [60, 20, 20]
    assert found.labels == ("NOUN", "VERB")


@pytest.mark.parametrize("per_type", [1, 2, 50])
def test_every_type_is_as_often_noun_as_verb(task, per_type):
    for part in task(per_type=per_type).splits.values():
        counts = Counter(
            (sentence.words[t.span1[0]].lower(), t.labels[0]) for sentence in part for t in sentence.targets
        )
        assert all(counts[word, "NOUN"] == counts[word, "VERB"] <= per_type for word, _ in counts)
        assert all(len(sentence.targets) == 1 for sentence in part)


def test_a_seed_draws_the_same_sentences_and_another_seed_others(task):
    assert task(seed=1, per_type=2) == task(seed=1, per_type=2)
    assert task(seed=1, per_type=2) != task(seed=2, per_type=2)


def test_too_few_types_are_said_to_be_too_few(small, catalogue):
    catalogue["ewt"] = small.splits_of(lambda split: corpus(small, split))
    with pytest.raises(Unavailable, match=r"ewt \(en\) has 100 words that are noun and verb, fewer than 200"):
        noun_verb(source="ewt")
