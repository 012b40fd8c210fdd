"""An edge task and the states of its sentences, as the tensors that a probe reads.

A sentence is read as the pieces that its spans cover, nothing else: what stands outside every span never enters a
probe. Targets whose words left no piece are dropped and counted.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from replications.corpora.edges import EdgeTask, Sentence, Target
from replications.errors import Refusal
from replications.probing.activations import Activations

LIMITS = {"lost": 0.02, "unseen": 0.05}  # shares of targets above which a task is refused: it was not read as meant


@dataclass(frozen=True)
class Example:
    """One sentence: per side the rows of its pieces in the states, its spans as ranges among them, and whose they are.

    A span that several targets share (the head of many words, a mention in many pairs) is there once.
    """

    rows: tuple[Tensor, ...]  # per side [pieces]
    spans: tuple[Tensor, ...]  # per side [spans, 2]
    span_of: tuple[Tensor, ...]  # per side [targets]
    labels: Tensor  # [2, targets, C] bool: the task's, and the control's, dealt anew among all targets of the split

    @property
    def targets(self) -> int:
        """How many targets the sentence has."""
        return self.labels.shape[1]


@dataclass(frozen=True)
class Side:
    """The first or the second spans of some sentences, one after the other: R pieces, S spans that cover E of them."""

    rows: Tensor  # [R] rows in the states
    piece: Tensor  # [E] which of the R pieces, span after span
    span: Tensor  # [E] which span
    first: Tensor  # [S] where each span begins among the E
    span_of: Tensor  # [targets]

    def to(self, device: str) -> Side:
        """The same on another device; `rows` index what lies in main memory and stay there."""
        moved = (part.to(device) for part in (self.piece, self.span, self.first, self.span_of))
        return Side(self.rows, *moved)


@dataclass(frozen=True)
class Batch:
    """Some examples as one: nothing is padded."""

    sides: tuple[Side, ...]
    labels: Tensor  # [2, targets, C] float
    sentence: Tensor  # [targets] which of the batch's sentences

    def to(self, device: str) -> Batch:
        """The same on another device; `sentence` is for counting and stays."""
        return Batch(tuple(side.to(device) for side in self.sides), self.labels.to(device), self.sentence)


@dataclass(frozen=True)
class Examples:
    """The three splits of a task, ready to train on; `counts` says what was kept and what was not."""

    train: list[Example]
    dev: list[Example]
    test: list[Example]
    labels: tuple[str, ...]
    scored: Tensor  # [C] bool: labels that the metric counts
    counts: dict[str, int]

    @property
    def sides(self) -> int:
        """Spans of a target: 1 or 2."""
        return len(self.train[0].rows)


def build(task: EdgeTask, states: Activations, place: Mapping[tuple[str, ...], int], seed: int) -> Examples:
    """Examples of a task; `place` gives the number of a sentence (by its words) among those of `states`.

    Refuses a span outside its sentence, a task that keeps no target in one of its splits, and one that loses more of
    its targets, or meets more labels that no training target has, than LIMITS say.
    """
    index = {label: column for column, label in enumerate(task.labels)}
    counts: Counter[str] = Counter()
    splits = {}
    for split, sentences in task.splits.items():
        made = [_example(task, sentence, states, place[sentence.words], index, counts) for sentence in sentences]
        splits[split] = _dealt([example for example in made if example is not None], f"{seed}/{split}")
        if not splits[split]:
            raise Refusal(f"task {task.name} has no target that could be aligned in its split {split}")
        counts[f"{split}_sentences"] = len(splits[split])
        counts[f"{split}_targets"] = sum(example.targets for example in splits[split])
    told = dict(counts) | _unseen(splits)
    _refuse_misfit(task.name, told)
    scored = torch.tensor([label in (task.scored or task.labels) for label in task.labels])
    return Examples(splits["train"], splits["dev"], splits["test"], task.labels, scored, told)


def batches(examples: Sequence[Example], size: int, generator: torch.Generator) -> Iterator[list[Example]]:
    """One epoch in random batches of `size` sentences."""
    for rows in torch.randperm(len(examples), generator=generator).split(size):
        yield [examples[row] for row in rows]


def collate(part: Sequence[Example]) -> Batch:
    """Some examples as one batch."""
    sides = tuple(_side(part, side) for side in range(len(part[0].rows)))
    sentence = torch.repeat_interleave(torch.arange(len(part)), torch.tensor([example.targets for example in part]))
    return Batch(sides, torch.cat([example.labels for example in part], dim=1).float(), sentence)


def _side(part: Sequence[Example], side: int) -> Side:
    pieces, spans = ([len(getattr(e, name)[side]) for e in part] for name in ("rows", "spans"))
    before = [0, *accumulate(pieces)][: len(part)]
    ranges = torch.cat([e.spans[side] + shift for e, shift in zip(part, before, strict=True)])
    span_of = [e.span_of[side] + shift for e, shift in zip(part, [0, *accumulate(spans)], strict=False)]
    lengths = ranges[:, 1] - ranges[:, 0]
    span = torch.repeat_interleave(torch.arange(len(ranges)), lengths)
    first = lengths.cumsum(0) - lengths
    piece = torch.arange(len(span)) + (ranges[:, 0] - first)[span]
    return Side(torch.cat([e.rows[side] for e in part]), piece, span, first, torch.cat(span_of))


def _example(
    task: EdgeTask, sentence: Sentence, states: Activations, number: int, index: dict[str, int], counts: Counter[str]
) -> Example | None:
    """None when no target of the sentence has pieces on every side."""
    found = [[_span(states, number, words, sentence) for words in _words(target)] for target in sentence.targets]
    kept = [(spans, target) for spans, target in zip(found, sentence.targets, strict=True) if all(map(len, spans))]
    counts["targets_lost"] += len(found) - len(kept)
    if not kept:
        return None
    sides = [_compact([spans[side] for spans, _ in kept]) for side in range(len(kept[0][0]))]
    labels = torch.zeros(len(kept), len(task.labels), dtype=torch.bool)
    for row, (_, target) in enumerate(kept):
        labels[row, [index[label] for label in target.labels]] = True
    rows, ranges, span_of = zip(*sides, strict=True)
    return Example(rows, ranges, span_of, labels.expand(2, -1, -1))


def _words(target: Target) -> list[tuple[int, int]]:
    return [target.span1] if target.span2 is None else [target.span1, target.span2]


def _span(states: Activations, number: int, words: tuple[int, int], sentence: Sentence) -> range:
    try:
        return states.span(number, *words)
    except Refusal as refusal:
        raise Refusal(f"sentence {sentence.id}: {refusal}") from None


def _compact(spans: list[range]) -> tuple[Tensor, Tensor, Tensor]:
    """Rows covered by any of the spans, in order; each different span's [start, end) among them; whose it is."""
    ends = np.array([(span.start, span.stop) for span in spans])
    rows = np.unique(np.concatenate([np.arange(*pair) for pair in ends]))
    unique, span_of = np.unique(ends, axis=0, return_inverse=True)
    starts = np.searchsorted(rows, unique[:, 0])
    ranges = np.stack([starts, starts + unique[:, 1] - unique[:, 0]], axis=1)
    return torch.from_numpy(rows), torch.from_numpy(ranges), torch.from_numpy(span_of.reshape(-1))


def _unseen(splits: dict[str, list[Example]]) -> dict[str, int]:
    """How many dev and test targets have a label that no training target has."""
    gold = {split: torch.cat([example.labels[0] for example in part]) for split, part in splits.items()}
    seen = gold["train"].any(dim=0)
    return {
        f"{split}_targets_with_unseen_label": int((gold[split] & ~seen).any(dim=1).sum()) for split in ("dev", "test")
    }


def _refuse_misfit(task: str, counts: Mapping[str, int]) -> None:
    """Hold what went wrong against LIMITS."""
    lost, held = counts["targets_lost"], sum(counts[f"{split}_targets"] for split in ("train", "dev", "test"))
    if lost > LIMITS["lost"] * (lost + held):
        raise Refusal(
            f"task {task}: {lost} of {lost + held} targets have no word piece, more than {LIMITS['lost']:.0%}: "
            "join the words otherwise, or use another model"
        )
    for split in ("dev", "test"):
        unseen, total = counts[f"{split}_targets_with_unseen_label"], counts[f"{split}_targets"]
        if unseen > LIMITS["unseen"] * total:
            raise Refusal(
                f"task {task}: {unseen} of {total} targets of its split {split} have a label that no training target "
                f"has, more than {LIMITS['unseen']:.0%}: take more training sentences"
            )


def _dealt(split: list[Example], seed: str) -> list[Example]:
    """The same examples with the control's labels: those of the whole split in another order."""
    gold = torch.cat([example.labels[0] for example in split]) if split else torch.zeros(0, 0)
    order = list(range(len(gold)))
    random.Random(seed).shuffle(order)
    parts = gold[order].split([example.targets for example in split])
    return [replace(e, labels=torch.stack([e.labels[0], part])) for e, part in zip(split, parts, strict=True)]
