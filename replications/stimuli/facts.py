"""Facts: subject, relation, object, the sentence that asks for the object, and which of them a model knows. No torch.

Facts are what causal tracing traces and rank-one editing rewrites (Meng et al. 2022). The table is this project's own,
data/facts/<language>.{yaml,csv}; published sets are read into the same classes by `published_facts.py`, and
`predict.py` has what `known_facts` asks a model with: `partial(predict.greedy, loaded)`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from replications.errors import Refusal
from replications.settings import DATA
from replications.stimuli import fact_table
from replications.stimuli.fact_table import SUBJECT
from replications.stimuli.plain_text import repeated
from replications.stimuli.spans import Encoded, Encoder, Span, continuation, is_whole, tokens_of

# token ids of some prompts -> the token that the model ranks first after each
Predictor = Callable[[Sequence[Sequence[int]]], Sequence[int]]


@dataclass(frozen=True)
class Relation:
    """`frame` and `paraphrases` hold {subject} once and end where the object is due; `property` is Wikidata's."""

    id: str
    property: str
    frame: str
    paraphrases: tuple[str, ...]


@dataclass(frozen=True)
class Fact:
    """`source` is the Wikidata statement, as "Q142 P36 Q90", or names the record of a published set."""

    id: str
    relation: Relation
    subject: str
    object: str
    source: str

    @property
    def prompt(self) -> str:
        """The sentence up to its object."""
        return self.relation.frame.replace(SUBJECT, self.subject)

    @property
    def subject_span(self) -> Span:
        """Characters [start, end) of the subject in `prompt`."""
        return self._span(self.relation.frame)

    def paraphrased(self, index: int) -> tuple[str, Span]:
        """Another sentence that asks for the same object, and the subject's characters in it."""
        frame = self.relation.paraphrases[index]
        return frame.replace(SUBJECT, self.subject), self._span(frame)

    def _span(self, frame: str) -> Span:
        start = frame.index(SUBJECT)
        return start, start + len(self.subject)


@dataclass(frozen=True)
class FactSet:
    """All facts of one source, in its order."""

    relations: tuple[Relation, ...]
    facts: tuple[Fact, ...]

    def neighbours(self, fact: Fact) -> tuple[Fact, ...]:
        """Facts of the same relation and object about other subjects: an edit of `fact` should leave them alone."""
        same = self._by_object[fact.relation.id].get(fact.object, ())
        return tuple(other for other in same if other.subject != fact.subject)

    def targets(self, fact: Fact, seed: int = 0) -> tuple[str, ...]:
        """The relation's other objects, in an order drawn from `seed` and the fact's id: what it can be edited to."""
        others = sorted(self._by_object[fact.relation.id].keys() - {fact.object})
        order = np.random.default_rng([seed, *fact.id.encode()]).permutation(len(others))
        return tuple(others[i] for i in order)

    @cached_property
    def _by_object(self) -> dict[str, dict[str, list[Fact]]]:
        """Facts by relation, then by object."""
        found: dict[str, dict[str, list[Fact]]] = defaultdict(lambda: defaultdict(list))
        for fact in self.facts:
            found[fact.relation.id][fact.object].append(fact)
        return found


def load_facts(language: str = "en", root: Path = DATA) -> FactSet:
    """The table of one language, checked. Refuses a language that has none and any malformed row, naming it."""
    folder = root / "facts"
    languages = sorted(file.stem for file in folder.glob("*.yaml"))
    if language not in languages:
        raise Refusal(f"no facts for language {language!r} in {folder}; known: {', '.join(languages) or 'none'}")
    entries = fact_table.read_relations(folder / f"{language}.yaml", language)
    rows = fact_table.read_rows(folder / f"{language}.csv", entries)
    relations = {e.id: Relation(e.id, e.property, e.frame, tuple(e.paraphrases)) for e in entries}
    facts = [
        Fact(f"{row.relation}.{slug(row.subject)}", relations[row.relation], row.subject, row.object, row.source)
        for row in rows
    ]
    if twice := repeated(fact.id for fact in facts):
        raise Refusal(f"{folder / language}.csv: two subjects have the id {twice[0]}; they should differ in letters")
    return FactSet(tuple(relations.values()), tuple(facts))


def slug(text: str) -> str:
    """`text` as part of an id: letters without accents and digits in lower case, joined by underscores."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return "_".join(re.findall(r"[a-z0-9]+", plain.lower()))


# --- which facts a model knows


@dataclass(frozen=True)
class KnownFact:
    """A fact as one tokenizer has it: the subject's columns in the prompt, and the object's first token."""

    fact: Fact
    encoded: Encoded
    subject: list[int]
    answer: int


@dataclass(frozen=True)
class AskedFacts:
    """Facts whose object a model ranks first, the others, and how many could not be asked for which reason."""

    known: list[KnownFact]
    unknown: list[KnownFact]
    dropped: dict[str, int]


def place(encode: Encoder, text: str, span: Span) -> tuple[Encoded, list[int]] | None:
    """`text` in tokens and the columns of the subject; None when a token crosses the subject's boundary."""
    encoded = encode(text)
    columns = tokens_of(encoded, *span)
    return (encoded, columns) if is_whole(encoded, columns, *span) else None


def locate(fact: Fact, encode: Encoder, prefix: str) -> KnownFact | str:
    """The fact in tokens, whether known or not, or the reason why this tokenizer cannot ask for it."""
    placed = place(encode, fact.prompt, fact.subject_span)
    if placed is None:
        return "a token crosses the subject's boundary"
    answer = continuation(encode, fact.prompt, prefix + fact.object)
    if answer is None:
        return "the object changes the tokens of the prompt"
    return KnownFact(fact, *placed, answer[0])


def ask(facts: Iterable[Fact], encode: Encoder, predict: Predictor, prefix: str) -> AskedFacts:
    """Facts sorted by whether the greedy next token is the first of `prefix` + object (Meng et al. 2022, section 2)."""
    located = [locate(fact, encode, prefix) for fact in facts]
    asked = [one for one in located if isinstance(one, KnownFact)]
    said = predict([one.encoded.ids for one in asked]) if asked else []
    known: list[KnownFact] = []
    unknown: list[KnownFact] = []
    for one, token in zip(asked, said, strict=True):
        (known if token == one.answer else unknown).append(one)
    dropped = Counter(reason for reason in located if isinstance(reason, str))
    return AskedFacts(known, unknown, dict(sorted(dropped.items())))


def known_facts(facts: Iterable[Fact], encode: Encoder, predict: Predictor, prefix: str) -> list[KnownFact]:
    """The facts that the model knows, in their order; `ask` also says what it does not know and what was dropped."""
    return ask(facts, encode, predict, prefix).known
