"""Universal NER (Mayhew et al. 2024): persons, organisations and places on treebank sentences, as IOB2 columns."""

from __future__ import annotations

import re

from replications.corpora.edges import Sentence, Target
from replications.errors import Refusal

TYPES = ("LOC", "ORG", "PER")
_TAG = re.compile(r"O|[BI]-[A-Z]+")


def read(text: str, name: str) -> tuple[Sentence, ...]:
    """Every sentence with its entities as targets; types beyond LOC, ORG and PER (drafts have OTH) count as no entity.

    Columns: number, word, tag, and what else the file records. An I- tag that continues no entity of its type begins
    one, as in the scorer of CoNLL. Refuses lines and tags of another form.
    """
    sentences: list[Sentence] = []
    words: list[str] = []
    tags: list[str] = []
    sent_id = ""
    for number, line in enumerate([*text.replace("\r\n", "\n").split("\n"), ""], start=1):
        if line.startswith("# sent_id = "):
            sent_id = line.removeprefix("# sent_id = ").strip()
        elif line.strip() and not line.startswith("#"):
            word, tag = _cells(line, len(words) + 1, f"{name}, line {number}")
            words.append(word)
            tags.append(tag)
        elif words and not line.strip():
            if not sent_id:
                raise Refusal(f"{name}, line {number - len(words)}: the sentence should have a `# sent_id = ...` line")
            sentences.append(Sentence(sent_id, tuple(words), _targets(tags)))
            sent_id, words, tags = "", [], []
    if not sentences:
        raise Refusal(f"{name} holds no sentence in IOB2 columns")
    return tuple(sentences)


def _cells(line: str, expected: int, where: str) -> tuple[str, str]:
    cells = line.split("\t")
    if len(cells) < 3 or cells[0] != str(expected) or not cells[1].strip():
        raise Refusal(f"{where}: word {expected}, its form and its tag are expected, separated by tabs")
    if not _TAG.fullmatch(cells[2]):
        raise Refusal(f"{where}: the tag should be O, B-TYPE or I-TYPE, not {cells[2]!r}")
    return cells[1], cells[2]


def _targets(tags: list[str]) -> tuple[Target, ...]:
    spans: list[tuple[str, int, int]] = []
    for index, tag in enumerate(tags):
        kind = tag[2:]
        if tag.startswith("I-") and spans and spans[-1][0] == kind and spans[-1][2] == index:
            spans[-1] = (kind, spans[-1][1], index + 1)
        elif tag != "O":
            spans.append((kind, index, index + 1))
    return tuple(Target((start, end), None, (kind,)) for kind, start, end in spans if kind in TYPES)
