"""The normal form: what a task may hold, and drawing a smaller one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replications.corpora.edges import EdgeTask, Sentence, Target, make_task, subsample
from replications.errors import Refusal

WORDS = ("the", "old", "boat")


def with_target(*spans, labels=("A",), words=WORDS):
    return Sentence("s1", words, (Target(spans[0], spans[1] if len(spans) > 1 else None, labels),))


def made(sentence, **fields):
    return make_task("pos", "en", dict.fromkeys(("train", "dev", "test"), (sentence,)), corpora=("mine",), **fields)


def test_a_task_knows_its_labels_and_which_of_them_count():
    task = made(with_target((0, 1), (1, 3), labels=("B", "A")), multi_label=True, unscored=("A",))
    assert (task.labels, task.scored, task.spans) == (("A", "B"), ("B",), 2)
    assert made(with_target((0, 3))).spans == 1


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        (with_target((2, 4)), r"pos \(mine\), train, sentence s1: span \[2, 4\) does not lie in its 3 words"),
        (with_target((1, 1)), r"span \[1, 1\)"),
        (with_target((0, 1), (-1, 1)), r"span \[-1, 1\)"),
        (with_target((0, 1), labels=()), r"one label, not \[\]"),
        (with_target((0, 1), labels=("A", "B")), "one label, not"),
        (with_target((0, 1), words=("the", " ", "boat")), "no word may be empty"),
        (Sentence("s1", (), ()), "at least one word"),
        (Sentence("s1", WORDS, ()), "train has no target"),
    ],
)
def test_what_is_out_of_order_is_refused_with_its_sentence(sentence, said):
    with pytest.raises(Refusal, match=said):
        made(sentence)


def many(counts: dict[str, int], empty: int = 3) -> EdgeTask:
    target = (Target((0, 1), None, ("A",)),)
    splits = {
        split: tuple(Sentence(f"{split}{i}", WORDS, () if i % (empty + 1) == 0 else target) for i in range(count))
        for split, count in counts.items()
    }
    return make_task("pos", "en", splits, corpora=("mine",))


@given(st.integers(1, 30), st.integers(0, 5))
def test_a_subsample_is_drawn_in_order_from_sentences_with_targets(count, seed):
    task = many({"train": 20, "dev": 9, "test": 5})
    drawn = subsample(task, train=count, dev=count, test=2, seed=seed)
    for split, wanted in (("train", count), ("dev", count), ("test", 2)):
        able = [sentence for sentence in task.splits[split] if sentence.targets]
        assert len(drawn.splits[split]) == min(wanted, len(able))
        assert [sentence for sentence in able if sentence in drawn.splits[split]] == list(drawn.splits[split])
    assert drawn.labels == task.labels


def test_a_seed_draws_the_same_sentences_whatever_the_other_numbers():
    task = many({"train": 50, "dev": 50, "test": 50})
    one = subsample(task, train=5, dev=5, test=5, seed=1)
    assert one == subsample(task, train=5, dev=5, test=5, seed=1)
    assert one.splits["dev"] == subsample(task, train=9, dev=5, test=1, seed=1).splits["dev"]
    assert one.splits != subsample(task, train=5, dev=5, test=5, seed=2).splits


def test_an_empty_subsample_is_refused():
    with pytest.raises(Refusal, match="at least one sentence of each split"):
        subsample(many({"train": 5, "dev": 5, "test": 5}), train=1, dev=0, test=1, seed=0)
