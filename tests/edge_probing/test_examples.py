"""Spans become the right pieces, nothing is lost silently, and every epoch sees every sentence once."""

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from edge_probing.planted import planted

from replications.corpora.edges import EdgeTask, Sentence, Target
from replications.edge_probing import examples as ex
from replications.errors import Refusal
from replications.probing.activations import Activations

# One sentence of four words with 2, 0 (lost), 1 and 3 pieces, another of two with one piece each.
PIECES = np.array([[0, 2], [2, 2], [2, 3], [3, 6], [6, 7], [7, 8]])
STATES = Activations(
    [{"states": torch.zeros(2, 8, 3).half(), "scale": torch.ones(2)}], PIECES, np.array([0, 4, 6]), {}, "all"
)
LONG, SHORT = ("a", "b", "c", "d"), ("e", "f")
PLACE = {LONG: 0, SHORT: 1}


def task(*targets, labels=("x", "y", "z"), test=None):
    first = (Sentence("s0", LONG, tuple(targets)),)
    return EdgeTask("toy", "en", "micro_f1", labels, {"train": first, "dev": first, "test": test or first})


def two(one, other, *labels):
    return Target(one, other, labels)


def test_spans_are_ranges_among_the_pieces_that_any_span_covers():
    data = ex.build(task(two((0, 1), (2, 4), "x"), two((2, 3), (0, 2), "y", "z")), STATES, PLACE, 0)
    (example,) = data.train
    assert [rows.tolist() for rows in example.rows] == [[0, 1, 2], [0, 1, 2, 3, 4, 5]]
    assert [spans.tolist() for spans in example.spans] == [[[0, 2], [2, 3]], [[0, 2], [2, 6]]]
    assert [whose.tolist() for whose in example.span_of] == [[0, 1], [1, 0]]
    assert example.labels[0].tolist() == [[True, False, False], [False, True, True]]
    assert (data.sides, data.counts["targets_lost"], data.counts["train_targets"]) == (2, 0, 2)


def test_a_target_without_pieces_is_dropped_and_counted(monkeypatch):
    toy = task(Target((1, 2), None, ("x",)), Target((0, 2), None, ("y",)))
    with pytest.raises(Refusal, match="task toy: 3 of 6 targets have no word piece, more than 2%"):
        ex.build(toy, STATES, PLACE, 0)
    monkeypatch.setitem(ex.LIMITS, "lost", 0.5)
    data = ex.build(toy, STATES, PLACE, 0)
    assert data.counts["targets_lost"] == 3  # one in each split
    assert data.train[0].labels[0].tolist() == [[False, True, False]]
    with pytest.raises(Refusal, match="task toy has no target that could be aligned in its split train"):
        ex.build(task(Target((1, 2), None, ("x",))), STATES, PLACE, 0)


def test_a_span_outside_its_sentence_is_refused_by_name():
    with pytest.raises(Refusal, match=r"sentence s0: .*span \[3, 5\) is not within its 4 words"):
        ex.build(task(Target((3, 5), None, ("x",))), STATES, PLACE, 0)


def test_labels_never_seen_in_training_are_counted(monkeypatch):
    test = (Sentence("s1", SHORT, (Target((0, 1), None, ("z",)), Target((1, 2), None, ("x",)))),)
    toy = task(Target((0, 1), None, ("x",)), test=test)
    with pytest.raises(Refusal, match="task toy: 1 of 2 targets of its split test have a label that no training"):
        ex.build(toy, STATES, PLACE, 0)
    monkeypatch.setitem(ex.LIMITS, "unseen", 0.5)
    data = ex.build(toy, STATES, PLACE, 0)
    assert data.counts["test_targets_with_unseen_label"] == 1
    assert data.counts["dev_targets_with_unseen_label"] == 0


def test_only_scored_labels_are_marked():
    some = EdgeTask("toy", "en", "f1_of_1", ("0", "1"), task(Target((0, 1), None, ("1",))).splits, ("1",))
    assert ex.build(some, STATES, PLACE, 0).scored.tolist() == [False, True]


def test_a_span_that_targets_share_is_pooled_once():
    toy = task(two((0, 1), (2, 4), "x"), two((2, 3), (2, 4), "y"), two((0, 1), (2, 4), "z"))
    (example,) = ex.build(toy, STATES, PLACE, 0).train
    assert [spans.tolist() for spans in example.spans] == [[[0, 2], [2, 3]], [[0, 4]]]
    assert [whose.tolist() for whose in example.span_of] == [[0, 1, 0], [0, 0, 0]]


def test_a_batch_loses_nothing():
    made, states, place = planted(1, two=True, sentences=(9, 2, 2))
    other = task(two((0, 1), (2, 4), "x"), two((2, 3), (0, 2), "y"), two((0, 1), (0, 4), "y"))
    part = [*ex.build(made, states, place, 0).train[:3], *ex.build(other, STATES, PLACE, 0).train]
    part = [replace(example, labels=example.labels[..., :3]) for example in part]
    batch = ex.collate(part)
    assert batch.sentence.tolist() == [i for i, example in enumerate(part) for _ in range(example.targets)]
    for number, side in enumerate(batch.sides):
        wanted = [e.rows[number][slice(*e.spans[number][span])] for e in part for span in e.span_of[number].tolist()]
        covered = [side.rows[side.piece[side.span == span]] for span in side.span_of.tolist()]
        assert all(torch.equal(a, b) for a, b in zip(covered, wanted, strict=True))
        assert side.first.tolist() == [side.span.tolist().index(span) for span in range(len(side.first))]


def test_every_epoch_is_every_sentence_once_in_another_order():
    made, states, place = planted(1, sentences=(45, 2, 2))
    data, generator = ex.build(made, states, place, 0), torch.Generator().manual_seed(1)
    number = {id(example): i for i, example in enumerate(data.train)}
    first, second = ([[number[id(e)] for e in part] for part in ex.batches(data.train, 8, generator)] for _ in range(2))
    assert sorted(chain(*first)) == sorted(chain(*second)) == list(range(45))
    assert first != second
    assert sorted(map(len, first)) == [5, 8, 8, 8, 8, 8]


def test_dealt_labels_are_the_same_labels_in_another_order():
    made, states, place = planted(1)
    data = ex.build(made, states, place, 3)
    real, dealt = torch.cat([e.labels for e in data.train], dim=1)
    assert torch.equal(real.sum(dim=0), dealt.sum(dim=0))
    assert not torch.equal(real, dealt)
    again = torch.cat([e.labels for e in ex.build(made, states, place, 3).train], dim=1)[1]
    assert torch.equal(dealt, again)
