"""SemEval-2010 task 8 (Hendrickx et al. 2010): the relation of two marked nominals, in one of two directions."""

from __future__ import annotations

import re

from replications.corpora.edges import Sentence, Target
from replications.corpora.words import cut
from replications.errors import Refusal

OTHER = "Other"
DEV = 1149  # sentences: the last of the training file, which comes without a development set
_LINE = re.compile(r"(?P<id>\d+)\t\"(?P<text>.*)\"\s*")
_MARK = re.compile(r"(</?e[12]>)")
MARKS = ["<e1>", "</e1>", "<e2>", "</e2>"]
_LABEL = re.compile(r"Other|[A-Z][A-Za-z]+-[A-Z][A-Za-z]+\((?:e1,e2|e2,e1)\)")


def read(text: str, name: str) -> tuple[Sentence, ...]:
    """One target per sentence: span1 is <e1>, span2 <e2>, the label e.g. Cause-Effect(e2,e1) or Other.

    A record is a numbered, quoted sentence, a label and a comment; refuses one that is not.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    starts = {index: found for index, line in enumerate(lines) if (found := _LINE.fullmatch(line))}
    first = next((index for index, line in enumerate(lines) if line.strip()), 0)
    if first not in starts:
        raise Refusal(f'{name}, line {first + 1}: a record should begin with a number, a tab and a "sentence"')
    return tuple(_sentence(lines, index, found, name) for index, found in starts.items())


def _sentence(lines: list[str], index: int, found: re.Match[str], name: str) -> Sentence:
    where = f"{name}, line {index + 1}"
    before, *parts = _MARK.split(found["text"])
    e1, between, e2, after = parts[1::2] if parts[::2] == MARKS else [""] * 4
    if not e1 or not e2:
        raise Refusal(f"{where}: the sentence should mark one <e1>...</e1> and after it one <e2>...</e2>")
    label = lines[index + 1].strip() if index + 1 < len(lines) else ""
    if not _LABEL.fullmatch(label):
        raise Refusal(
            f"{name}, line {index + 2}: a relation like Cause-Effect(e1,e2) or Other is expected, not {label!r}"
        )
    first = (len(before), len(before + e1))
    second = (first[1] + len(between), first[1] + len(between + e2))
    try:
        words, (span1, span2) = cut(before + e1 + between + e2 + after, [first, second])
    except ValueError as error:
        raise Refusal(f"{where}: {error}") from None
    return Sentence(f"semeval-{found['id']}", words, (Target(span1, span2, (label,)),))


def split(train: tuple[Sentence, ...], test: tuple[Sentence, ...]) -> dict[str, tuple[Sentence, ...]]:
    """train, dev, test, in file order: dev is the end of the training file. Refuses a file that is too short."""
    if len(train) <= DEV:
        raise Refusal(f"the training file has {len(train)} sentences, too few to set {DEV} aside for development")
    return {"train": train[:-DEV], "dev": train[-DEV:], "test": test}
