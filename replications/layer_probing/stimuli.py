"""Labelled words of a treebank, and words that are noun here and verb there: which sentences, and what was left out.

Subsampling is by sentence, with a seed, before any model is run. A decoder sees nothing to the right of a word, so its
minimal-pair sentences end with the word; that changes no state and saves two thirds of the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replications.corpora.edges import EdgeTask, Sentence, subsample
from replications.corpora.tasks import load_task, sources
from replications.errors import Refusal
from replications.layer_probing.noun_verb import TAGS, noun_verb

TASKS = ("pos", "deps")
PARTS = 5  # of the training sentences; every seed leaves out another one
DRAWN = 3  # occurrences of a type and tag to choose the shortest beginning from
OFTEN = 5  # occurrences that say that a word is always a noun, or always a verb
BEFORE = range(2, 13)  # words before the ambiguous one: without context nothing can be probed, and long ones cost
ARTICLE = (
    (("He", "filled", "the", "pool", "with", "water", "."), 5, "NOUN"),
    (("Do", "n't", "forget", "to", "water", "the", "plants", "."), 4, "VERB"),
)  # Trott 2024, the article's own two sentences: words, place of the word, tag


@dataclass(frozen=True)
class Words:
    """All words of some sentences, in order, with a label per task. Arrays are over words unless they say otherwise."""

    sentences: tuple[tuple[str, ...], ...]
    ids: tuple[str, ...]  # of the sentences
    sentence: NDArray[np.int64]
    train: NDArray[np.bool_]
    labels: dict[str, NDArray[np.int64]]
    classes: dict[str, tuple[str, ...]]
    counts: dict[str, int]
    corpora: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """All words of all sentences, in order."""
        return [word for sentence in self.sentences for word in sentence]


@dataclass(frozen=True)
class Place:
    """One ambiguous word in one sentence; `label` is its place in TAGS, `split` train, dev, test or article."""

    words: tuple[str, ...]
    index: int
    label: int
    split: str
    id: str

    @property
    def type(self) -> str:
        """The word in lower case."""
        return self.words[self.index].lower()


def treebank_words(language: str, *, source: str, train: int, test: int, seed: int) -> Words:
    """Words of at most so many training and test sentences, the same ones for every task. Dev stays unused.

    The tasks are those of TASKS that the source has. Refuses tasks whose sentences are not the same.
    """
    names = [name for name in TASKS if source in sources(name, language)]
    first, *others = (load_task(name, language, source=source) for name in names)
    drawn = subsample(first, train=train, dev=1, test=test, seed=seed)
    picked = [(split, sentence) for split in ("train", "test") for sentence in drawn.splits[split]]
    by_id = {task.name: _by_id(task) for task in others}
    labels = {first.name: _labels(sentence for _, sentence in picked)}
    for name, found in by_id.items():
        labels[name] = _labels(_same(found, sentence, name) for _, sentence in picked)
    return _words(picked, labels, first.corpora)


def ambiguous_places(language: str, *, source: str, types: Mapping[str, int], seed: int, prefix: bool) -> list[Place]:
    """One noun and one verb occurrence of every drawn word type, the article's two sentences last.

    Of three occurrences drawn per type and tag the one with the fewest words before it is taken, if they are 2 to 12.
    `types` says how many types of train, dev and test; `prefix` ends every sentence with the word.
    """
    task = noun_verb(language, seed=seed, per_type=DRAWN, source=source)
    places = [place for split, n in types.items() for place in _paired(task.splits[split], split, n, seed)]
    places += [Place(words, index, TAGS.index(tag), "article", f"article:{tag}") for words, index, tag in ARTICLE]
    if not prefix:
        return places
    return [Place(p.words[: p.index + 1], p.index, p.label, p.split, p.id) for p in places]


def unambiguous(language: str, source: str) -> tuple[list[str], list[str]]:
    """Word types (in small letters) of which every occurrence in the treebank, OFTEN or more, is a noun; or a verb."""
    tags: dict[str, list[str]] = {}
    for found in load_task("pos", language, source=source).splits.values():
        for sentence in found:
            for target in sentence.targets:
                tags.setdefault(sentence.words[target.span1[0]].lower(), []).append(target.labels[0])
    nouns, verbs = (sorted(word for word, all_of in tags.items() if set(all_of) == {tag} and len(all_of) >= OFTEN)
                    for tag in TAGS)  # fmt: skip
    return nouns, verbs


def folds(sentence: NDArray[np.int64], seeds: int, seed: int) -> NDArray[np.bool_]:
    """[seeds, n]: which training words each seed sees: all but the sentences of a fifth of its own.

    Refuses more seeds than there are fifths.
    """
    if not 1 <= seeds <= PARTS:
        raise Refusal(f"there can be 1 to {PARTS} seeds, not {seeds}: each leaves out another of {PARTS} parts")
    numbers = np.unique(sentence)
    part = np.random.default_rng(seed).permutation(len(numbers)) % PARTS
    of_word = part[np.searchsorted(numbers, sentence)]
    return of_word[None] != np.arange(seeds)[:, None]


def _words(picked: list[tuple[str, Sentence]], labels: dict[str, list[str]], corpora: tuple[str, ...]) -> Words:
    sentence = np.repeat(np.arange(len(picked)), [len(s.words) for _, s in picked])
    train = np.array([split == "train" for split, _ in picked])[sentence]
    classes = {name: tuple(sorted(set(found))) for name, found in labels.items()}
    numbered = {name: np.searchsorted(classes[name], found) for name, found in labels.items()}
    unseen = {f"{name}_test_words_with_a_label_not_in_training": int((~np.isin(y[~train], y[train])).sum())
              for name, y in numbered.items()}  # fmt: skip
    counts = {"train_sentences": int(sum(split == "train" for split, _ in picked)),
              "test_sentences": int(sum(split == "test" for split, _ in picked)),
              "train_words": int(train.sum()), "test_words": int((~train).sum()), **unseen}  # fmt: skip
    return Words(tuple(s.words for _, s in picked), tuple(s.id for _, s in picked), sentence, train, numbered, classes,
                 counts, corpora)  # fmt: skip


def _labels(sentences: Any) -> list[str]:
    """The label of every word in order, without subtype (nmod:poss is nmod), which only some treebanks have.

    Refuses a sentence in which a word has no label or several.
    """
    found = []
    for sentence in sentences:
        by_word = {target.span1[0]: target.labels for target in sentence.targets}
        if sorted(by_word) != list(range(len(sentence.words))) or any(len(labels) != 1 for labels in by_word.values()):
            raise Refusal(f"sentence {sentence.id}: every word should have one label, to be probed word by word")
        found += [by_word[index][0].partition(":")[0] for index in range(len(sentence.words))]
    return found


def _by_id(task: EdgeTask) -> dict[str, Sentence]:
    return {sentence.id: sentence for split in task.splits.values() for sentence in split}


def _same(found: dict[str, Sentence], sentence: Sentence, name: str) -> Sentence:
    other = found.get(sentence.id)
    if other is None or other.words != sentence.words:
        raise Refusal(f"sentence {sentence.id} is not the same in {name}: both tasks should come from one treebank")
    return other


def _paired(sentences: Sequence[Sentence], split: str, n: int, seed: int) -> list[Place]:
    """One noun and one verb of each of n types, in the types' seeded order."""
    shortest: dict[tuple[str, str], Sentence] = {}
    for sentence in sentences:
        (target,) = sentence.targets
        index = target.span1[0]
        key = sentence.words[index].lower(), target.labels[0]
        if index in BEFORE and (key not in shortest or index < shortest[key].targets[0].span1[0]):
            shortest[key] = sentence
    able = sorted(word for word, tag in shortest if tag == TAGS[0] and (word, TAGS[1]) in shortest)
    drawn = np.random.default_rng(seed).permutation(able)[:n]
    return [Place(s.words, s.targets[0].span1[0], label, split, s.id)
            for word in drawn for label, tag in enumerate(TAGS) for s in [shortest[str(word), tag]]]  # fmt: skip
