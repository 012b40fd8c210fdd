"""Known facts -> what is traced: token classes, the columns that stand for them, partners for replacement. No torch.

Everything drawn at random is drawn from the seed and the fact's id, so that a fact is traced alike whichever other
facts are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from replications.errors import Refusal
from replications.stimuli.fact_table import SUBJECT
from replications.stimuli.facts import AskedFacts, Fact, KnownFact, place
from replications.stimuli.spans import Encoder

CLASSES = ("subject_first", "subject_middle", "subject_last", "first_after", "further", "last")
MIN_FACTS = 5  # below this a percentile interval says nothing

ClassColumns = dict[str, list[int]]  # token class -> columns, perhaps none


@dataclass(frozen=True)
class Traced:
    """One fact to trace: the columns restored per class, and as many other columns as the subject has, to noise."""

    known: KnownFact
    columns: ClassColumns
    others: list[int]

    @property
    def id(self) -> str:
        """The fact's id."""
        return self.known.fact.id

    @property
    def subject_last(self) -> int:
        """Column of the last subject token."""
        return self.known.subject[-1]


@dataclass(frozen=True)
class Pair:
    """A known fact and its prompt with another known fact's subject, of equally many tokens in the same columns."""

    clean: KnownFact
    other: KnownFact
    corrupted: list[int]

    @property
    def id(self) -> str:
        """The clean fact's id."""
        return self.clean.fact.id


def generator(seed: int, name: str) -> np.random.Generator:
    """The generator of one fact."""
    return np.random.default_rng([seed, *name.encode()])


def token_classes(width: int, subject: Sequence[int]) -> ClassColumns:
    """Meng et al.'s classes (figure 2), every column at most once.

    A one-token subject is its own last token and nothing else; a prompt's last token is `last` and not `first_after`
    (the published code counts such tokens twice). What stands before the subject belongs to no class.
    """
    after = list(range(subject[-1] + 1, width - 1))
    return {
        "subject_first": list(subject[:-1][:1]),
        "subject_middle": list(subject[1:-1]),
        "subject_last": [subject[-1]],
        "first_after": after[:1],
        "further": after[1:],
        "last": [width - 1] if subject[-1] < width - 1 else [],
    }


def thinned(columns: ClassColumns, draw: np.random.Generator) -> ClassColumns:
    """One column for every class that has any: its mean over facts estimates that over all columns."""
    return {name: [int(draw.choice(some))] if some else [] for name, some in columns.items()}


def other_columns(known: KnownFact, draw: np.random.Generator) -> list[int]:
    """As many columns as the subject has, or as there are, from the text's other tokens but the last."""
    free = [i for i, span in enumerate(known.encoded.spans[:-1]) if span != (0, 0) and i not in known.subject]
    count = min(len(known.subject), len(free))
    return sorted(map(int, draw.choice(free, count, replace=False))) if count else []


def prepare(known: KnownFact, seed: int, *, every_column: bool) -> Traced:
    """The fact with its columns; `every_column` restores all, otherwise one per class."""
    draw = generator(seed, known.fact.id)
    columns = token_classes(len(known.encoded.ids), known.subject)
    return Traced(known, columns if every_column else thinned(columns, draw), other_columns(known, draw))


def drawn(facts: Sequence[Fact], n: int | None, seed: int) -> list[Fact]:
    """The first n facts in seeded random order, all when n is None: a list is sorted by relation."""
    return [facts[i] for i in np.random.default_rng(seed).permutation(len(facts))[:n]]


def enough(asked: AskedFacts, where: str) -> AskedFacts:
    """What is handed in, if the model knows enough of it. Refuses fewer than five known facts."""
    known, total = len(asked.known), len(asked.known) + len(asked.unknown)
    if known < MIN_FACTS:
        raise Refusal(f"{where}: the model completes {known} of {total} facts; tracing needs {MIN_FACTS} that it knows")
    return asked


def pairs(facts: Sequence[KnownFact], encode: Encoder, n: int | None, seed: int) -> list[Pair]:
    """The first n facts that have a partner among these; both sides are known.

    Subjects of three tokens and more come first: only they have a middle to compare the last token with.
    """
    found: list[Pair] = []
    relations = _by_relation(facts)
    for fact in sorted(facts, key=lambda one: len(one.subject) < 3):
        if n is not None and len(found) == n:
            break
        pair = _partner(fact, relations[fact.fact.relation.id], encode, generator(seed, fact.fact.id))
        found += [pair] if pair else []
    return found


def _by_relation(facts: Sequence[KnownFact]) -> Mapping[str, list[KnownFact]]:
    groups: dict[str, list[KnownFact]] = {}
    for fact in sorted(facts, key=lambda one: one.fact.id):
        groups.setdefault(fact.fact.relation.id, []).append(fact)
    return groups


def _partner(
    clean: KnownFact, candidates: Sequence[KnownFact], encode: Encoder, draw: np.random.Generator
) -> Pair | None:
    """The first candidate in random order whose subject fits into the clean prompt token by token."""
    start, _ = clean.fact.subject_span
    for i in draw.permutation(len(candidates)):
        other = candidates[i]
        if other.answer == clean.answer or other.fact.subject == clean.fact.subject:
            continue
        subject = other.fact.subject
        text = clean.fact.relation.frame.replace(SUBJECT, subject)
        placed = place(encode, text, (start, start + len(subject)))
        if placed and placed[1] == clean.subject and len(placed[0].ids) == len(clean.encoded.ids):
            return Pair(clean, other, placed[0].ids)
    return None
