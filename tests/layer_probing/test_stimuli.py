"""Which words are probed: the same sentences for every task, pairs of noun and verb, types apart."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layer_probing import made_up

from replications.corpora.edges import Sentence, Target
from replications.errors import Refusal
from replications.layer_probing import stimuli

TYPES = {"train": 8, "dev": 4, "test": 6}


@pytest.fixture(autouse=True)
def corpora(monkeypatch):
    monkeypatch.setattr(stimuli, "load_task", made_up.tagged)
    monkeypatch.setattr(stimuli, "noun_verb", made_up.ambiguous)
    monkeypatch.setattr(stimuli, "sources", made_up.sources)


def words(**changes):
    return stimuli.treebank_words("en", **{"source": "own", "train": 20, "test": 10, "seed": 1} | changes)


def test_every_word_has_the_label_of_each_task():
    made = words()
    assert len(made.words) == len(made.sentence) == 150
    for name, known in made_up.LABELS.items():
        labels = [made.classes[name][label] for label in made.labels[name]]
        assert labels == [known[int(word[1:]) % len(known)] for word in made.words]
    assert made.counts["train_words"] == made.train.sum() == 100
    assert made.counts["test_sentences"] == 10
    assert [made.ids[number] for number in np.unique(made.sentence[made.train])] == list(made.ids[:20])


def test_sentences_are_drawn_with_the_seed_and_no_dev_sentence():
    a, b, other = words(), words(), words(seed=2)
    assert a.sentences == b.sentences != other.sentences
    numbers = {int(name[1:]) for name in a.ids}
    assert not numbers & set(range(30, 36))


def test_a_source_without_relations_has_parts_of_speech_alone():
    made = words(source="tags-only")
    assert set(made.labels) == set(made.classes) == {"pos"}
    assert made.corpora == ("tags-only-en",)


def test_labels_that_training_lacks_are_counted(monkeypatch):
    def rare(name, language, source):
        task = made_up.tagged(name, language, source)
        odd = [replace(s, targets=(*s.targets[1:], Target((0, 1), None, ("new",)))) for s in task.splits["test"]]
        return replace(task, splits=task.splits | {"test": tuple(odd)})

    monkeypatch.setattr(stimuli, "load_task", rare)
    made = words()
    assert made.counts["pos_test_words_with_a_label_not_in_training"] == 10
    assert "new" in made.classes["pos"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: replace(s, words=(*s.words[:-1], "other")), "is not the same in deps"),
        (lambda s: replace(s, targets=s.targets[1:]), "every word should have one label"),
        (lambda s: replace(s, targets=tuple(replace(t, labels=("a", "b")) for t in s.targets)), "one label"),
    ],
)
def test_refuses_tasks_that_are_not_of_the_same_words(monkeypatch, change, message):
    def other(name, language, source):
        task = made_up.tagged(name, language, source)
        changed = {split: tuple(map(change, found)) for split, found in task.splits.items()}
        return task if name == "pos" else replace(task, splits=changed)

    monkeypatch.setattr(stimuli, "load_task", other)
    with pytest.raises(Refusal, match=message):
        words()


def test_every_type_is_noun_once_and_verb_once_and_in_one_split():
    places = [
        p
        for p in stimuli.ambiguous_places("en", source="own", types=TYPES, seed=1, prefix=False)
        if p.split != "article"
    ]
    assert Counter((p.type, p.label) for p in places).most_common(1)[0][1] == 1
    by_type = {p.type: {q.split for q in places if q.type == p.type} for p in places}
    assert all(len(splits) == 1 for splits in by_type.values())
    assert {split: sum(p.split == split for p in places) // 2 for split in TYPES} == TYPES


def test_a_prefix_ends_with_the_word_and_the_article_comes_last():
    whole, cut = (
        stimuli.ambiguous_places("en", source="own", types=TYPES, seed=1, prefix=prefix) for prefix in (False, True)
    )
    assert [p.id for p in whole] == [p.id for p in cut]
    assert all(p.words == q.words[: q.index + 1] for p, q in zip(cut, whole, strict=True))
    article = whole[-2:]
    assert [(p.split, p.type, p.label) for p in article] == [("article", "water", 0), ("article", "water", 1)]


def test_unambiguous_words_are_always_the_one_or_the_other(monkeypatch):
    nouns, verbs = stimuli.unambiguous("en", "own")
    assert nouns
    assert {int(word[1:]) % 3 for word in nouns} == {0}
    assert {int(word[1:]) % 3 for word in verbs} == {1}

    def once_a_verb(name, language, source):
        task = made_up.tagged(name, language, source)
        odd = Sentence("odd", (nouns[0],), (Target((0, 1), None, ("VERB",)),))
        return replace(task, splits=task.splits | {"test": (*task.splits["test"], odd)})

    monkeypatch.setattr(stimuli, "load_task", once_a_verb)
    assert stimuli.unambiguous("en", "own") == (nouns[1:], verbs)


def test_words_without_context_are_not_taken(monkeypatch):
    def early(language, **drawing):
        task = made_up.ambiguous(language, **drawing)
        cut = [
            replace(s, words=s.words[2:], targets=(replace(s.targets[0], span1=(1, 2)),)) for s in task.splits["test"]
        ]
        return replace(task, splits=task.splits | {"test": tuple(cut)})

    monkeypatch.setattr(stimuli, "noun_verb", early)
    places = stimuli.ambiguous_places("en", source="own", types=TYPES, seed=1, prefix=False)
    assert not [p for p in places if p.split == "test"]


@given(st.integers(stimuli.PARTS, 40), st.integers(1, stimuli.PARTS), st.integers(0, 9))
def test_every_seed_leaves_out_another_fifth_of_the_sentences(sentences, seeds, seed):
    sentence = np.repeat(np.arange(sentences), 3)
    seen = stimuli.folds(sentence, seeds, seed)
    assert seen.shape == (seeds, 3 * sentences)
    assert ((~seen).sum(axis=0) <= 1).all()  # no word is left out twice
    left_out = (~seen).reshape(seeds, sentences, 3)
    assert (left_out.std(axis=2) == 0).all()  # whole sentences
    assert (np.abs(left_out[..., 0].sum(axis=1) - sentences / stimuli.PARTS) < 1).all()


@pytest.mark.parametrize("seeds", [0, stimuli.PARTS + 1])
def test_refuses_more_seeds_than_parts(seeds):
    with pytest.raises(Refusal, match="1 to 5 seeds"):
        stimuli.folds(np.arange(9), seeds, 0)
