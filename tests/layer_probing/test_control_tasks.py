"""Properties of the control task (Hewitt & Liang 2019, section 2)."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from replications.layer_probing import control_tasks

words = st.lists(st.sampled_from(["the", "The", "water", "plants", "pool", "he"]), min_size=2, max_size=60)


@given(words, st.integers(0, 5))
def test_one_label_per_type_wherever_it_stands(text, seed):
    types = control_tasks.word_types(text)
    train = np.arange(len(text)) % 2 == 0
    labels = np.arange(len(text)) % 4
    drawn = control_tasks.control_labels(types, labels, train, seed)
    for kind in set(types):
        assert len(set(drawn[types == kind])) == 1
    assert set(drawn) <= set(labels[train])
    assert np.array_equal(drawn, control_tasks.control_labels(types, labels, train, seed))


def test_labels_follow_the_training_distribution():
    types = np.array([f"type{i}" for i in range(20000)])
    labels = np.array([0] * 15000 + [1] * 5000)
    train = np.ones(20000, dtype=bool)
    drawn = control_tasks.control_labels(types, labels, train, seed=0)
    assert abs((drawn == 0).mean() - 0.75) < 0.01


def test_labels_of_test_words_are_not_looked_at():
    types = np.array(["a", "b", "c", "d"])
    train = np.array([True, True, False, False])
    assert set(control_tasks.control_labels(types, np.array([1, 1, 0, 0]), train, seed=0)) == {1}


@given(st.integers(0, 20))
def test_shuffling_moves_training_labels_only(seed):
    labels, train = np.arange(30) % 3, np.arange(30) < 20
    shuffled = control_tasks.shuffled_labels(labels, train, seed)
    assert np.array_equal(shuffled[~train], labels[~train])
    assert np.array_equal(np.bincount(shuffled[train]), np.bincount(labels[train]))
    assert np.array_equal(labels, np.arange(30) % 3)


def test_majority_and_seen_types_come_from_training():
    labels, train = np.array([2, 2, 1, 1, 1]), np.array([True, True, True, False, False])
    assert control_tasks.majority(labels, train) == 2
    types = control_tasks.word_types(["The", "pool", "x", "the", "new"])
    assert control_tasks.seen(types, train).tolist() == [True, True, True, True, False]
