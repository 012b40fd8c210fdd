"""The normal form of the probing tasks of Tenney et al. 2019: sentences of words, one or two word spans with labels.

`tasks.load_task` brings any corpus into it; `subsample` makes it small.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

from replications.errors import Refusal

SPLITS = ("train", "dev", "test")
WordSpan = tuple[int, int]  # words [start, end) of one sentence


@dataclass(frozen=True, slots=True)  # there are a million of them
class Target:
    """What a probe is asked about: one span of words or two, and its labels: one, or any number if multi-label."""

    span1: WordSpan
    span2: WordSpan | None
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text as words, with its targets; `id` is the corpus's own."""

    id: str
    words: tuple[str, ...]
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class EdgeTask:
    """A task with its splits. `labels` are all labels of all splits, sorted; `scored` those that the metric counts.

    `metric` is always the micro-averaged F1 over the scored labels, under its name in the paper: micro_f1 (all labels),
    f1_of_1 (coref: label 1 alone), micro_f1_without_other (relations). `corpora` are ids of the catalogue of datasets,
    `dropped` says how many of their annotations are no target, by reason.
    """

    name: str
    language: str
    metric: str
    labels: tuple[str, ...]
    splits: dict[str, tuple[Sentence, ...]]
    scored: tuple[str, ...] = ()
    corpora: tuple[str, ...] = ()
    dropped: dict[str, int] = field(default_factory=dict, repr=False)

    @property
    def spans(self) -> int:
        """1 or 2: how many spans every target has."""
        first = next(target for split in self.splits.values() for sentence in split for target in sentence.targets)
        return 1 if first.span2 is None else 2


def make_task(
    name: str,
    language: str,
    splits: dict[str, tuple[Sentence, ...]],
    *,
    corpora: tuple[str, ...],
    metric: str = "micro_f1",
    unscored: tuple[str, ...] = (),
    multi_label: bool = False,
    dropped: dict[str, int] | None = None,
) -> EdgeTask:
    """A checked task. Refuses empty words, spans outside their sentence, no label, and a split without targets."""
    where = {split: f"{name} ({', '.join(corpora)}), {split}" for split in SPLITS}
    for split in SPLITS:
        for sentence in splits[split]:
            _check(sentence, where[split], multi_label)
        if not any(sentence.targets for sentence in splits[split]):
            raise Refusal(f"{name} ({', '.join(corpora)}): {split} has no target to probe")
    found = sorted({label for split in splits.values() for s in split for t in s.targets for label in t.labels})
    scored = tuple(label for label in found if label not in unscored)
    return EdgeTask(name, language, metric, tuple(found), dict(splits), scored, corpora, dropped or {})


def _check(sentence: Sentence, where: str, multi_label: bool) -> None:
    where = f"{where}, sentence {sentence.id}"
    if not sentence.words or not all(word.strip() for word in sentence.words):
        raise Refusal(f"{where}: a sentence needs at least one word, and no word may be empty")
    for target in sentence.targets:
        for start, end in (target.span1, target.span2 or target.span1):
            if not 0 <= start < end <= len(sentence.words):
                raise Refusal(f"{where}: span [{start}, {end}) does not lie in its {len(sentence.words)} words")
        if not multi_label and len(target.labels) != 1:
            raise Refusal(f"{where}: a target should have one label, not {list(target.labels)}")


def subsample(task: EdgeTask, *, train: int, dev: int, test: int, seed: int) -> EdgeTask:
    """At most so many sentences of each split, drawn without replacement among those that have a target; order kept.

    The task keeps its labels. The same seed draws the same sentences, whatever the numbers of the other splits.
    """
    wanted = dict(zip(SPLITS, (train, dev, test), strict=True))
    if min(wanted.values()) < 1:
        raise Refusal(f"a subsample of {task.name} needs at least one sentence of each split, not {wanted}")
    return replace(task, splits={name: _drawn(task.splits[name], wanted[name], f"{seed}/{name}") for name in SPLITS})


def _drawn(sentences: tuple[Sentence, ...], count: int, seed: str) -> tuple[Sentence, ...]:
    """Ranked by a hash of seed and id, so that tasks on the same corpus draw the same sentences where they can."""
    able = [index for index, sentence in enumerate(sentences) if sentence.targets]
    ranked = sorted(able, key=lambda index: hashlib.sha256(f"{seed}/{sentences[index].id}".encode()).digest())
    return tuple(sentences[index] for index in sorted(ranked[:count]))
