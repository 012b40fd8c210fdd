"""Entities and coreference of GUM (Zeldes 2017), written in the MISC column as Entity=(1-person-... ... 1)."""

from __future__ import annotations

import heapq
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from replications.corpora.conllu import Tree
from replications.corpora.edges import Sentence, Target, WordSpan
from replications.errors import Refusal

OPEN_GENRES = ("academic", "bio", "court", "interview", "news", "voyage")  # texts under CC BY or CC BY-SA
_SCHEMA = re.compile(r"# global\.Entity = (\S+)")
_EVENT = re.compile(r"\((?P<open>[^()]+)(?P<closed>\))?|(?P<close>[^()]+)\)|(?P<bad>.)")
MOST = 1000  # mentions of one sentence: their pairs are half a million
EMPTY, PIECES = "mentions_on_empty_nodes", "pieces_of_split_mentions"  # why a mention is no span of words
_PART = re.compile(r"(?P<chain>[^\[\]]+)(?P<part>\[\d+/\d+\])?")  # 7[1/2]: first of two pieces of entity 7


@dataclass(frozen=True)
class Mention:
    """An entity's type, the chain that it belongs to within its document, and its words."""

    kind: str
    chain: str
    span: WordSpan


@dataclass(frozen=True)
class Annotated:
    """A tree, its mentions in the order of their opening, and how many were left out for which reason."""

    tree: Tree
    mentions: tuple[Mention, ...]
    dropped: Counter[str]


def is_open(tree: Tree) -> bool:
    """Whether the text's licence allows any use with attribution; documents are named GUM_<genre>_<title>."""
    return tree.document.startswith(tuple(f"GUM_{genre}_" for genre in OPEN_GENRES))


def entities(annotated: Iterable[Annotated]) -> tuple[Sentence, ...]:
    """Every mention with its type, nested ones and pronouns included (OntoNotes has neither)."""
    return tuple(
        Sentence(one.tree.id, one.tree.words, tuple(Target(found.span, None, (found.kind,)) for found in one.mentions))
        for one in annotated
    )


def coreference(annotated: Sequence[Annotated]) -> tuple[Sentence, ...]:
    """Every pair of mentions of one sentence: label 1 if they belong to one chain, else 0.

    As in OntoNotes only chains of two mentions or more (in the document) take part. The earlier mention is span1.
    """
    sizes = Counter((one.tree.document, mention.chain) for one in annotated for mention in one.mentions)
    sentences = []
    for tree, found in ((one.tree, one.mentions) for one in annotated):
        linked = [mention for mention in found if sizes[tree.document, mention.chain] > 1]
        targets = (
            Target(one.span, other.span, (str(int(one.chain == other.chain)),))
            for one, other in itertools.combinations(sorted(linked, key=lambda mention: mention.span), 2)
        )
        sentences.append(Sentence(tree.id, tree.words, tuple(targets)))
    return tuple(sentences)


def dropped(annotated: Iterable[Annotated]) -> dict[str, int]:
    """How many mentions are no span of words, by reason: those in several pieces, and those on empty nodes."""
    return dict(sorted(sum((one.dropped for one in annotated), Counter()).items()))


def read(trees: Iterable[Tree], name: str) -> Iterator[Annotated]:
    """Trees with their mentions. What is no span of words is left out and counted; refuses what is out of order."""
    fields: list[str] = []
    for tree in trees:
        for comment in tree.comments:
            if found := _SCHEMA.fullmatch(comment.strip()):
                fields = found[1].split("-")
        if not {"GRP", "etype"} <= set(fields):
            raise Refusal(f"{name}: sentence {tree.id}: a `# global.Entity = GRP-etype-...` line is expected before it")
        yield _annotated(tree, fields, name)


def _annotated(tree: Tree, fields: list[str], name: str) -> Annotated:
    opened: dict[str, list[int]] = {}
    found: list = []  # (type, first word) while open, then the mention, or why it is no span
    for index, misc, line in _nodes(tree):
        value = next((part[7:] for part in misc.split("|") if part.startswith("Entity=")), "")
        for event in _EVENT.finditer(value):
            where, group = f"{name}, line {line}", event["close"]
            if event["bad"]:
                raise Refusal(f"{where}: Entity={value[:60]} is not a row of entities that open and close")
            if event["open"]:
                group, kind = _opening(event["open"], fields, where)
                opened.setdefault(group, []).append(len(found))
                found.append((kind, index))
            if event["close"] or event["closed"]:
                if not opened.get(group):
                    raise Refusal(f"{where}: entity {group} closes but is not open")
                place = opened[group].pop()
                kind, first = found[place]
                found[place] = _mention(group, kind, first, index)
    if left := [group for group, places in opened.items() if places]:
        raise Refusal(f"{name}, line {tree.lines[-1]}: sentence {tree.id} ends while entity {left[0]} is open")
    kept = tuple(mention for mention in found if isinstance(mention, Mention))
    if len(kept) > MOST:
        raise Refusal(f"{name}, line {tree.lines[0]}: sentence {tree.id} has {len(kept)} mentions, more than {MOST}")
    return Annotated(tree, kept, Counter(reason for reason in found if isinstance(reason, str)))


def _nodes(tree: Tree) -> Iterator[tuple[int | None, str, int]]:
    """(place of the word, MISC, line) of words and empty nodes in the order of the file; empty nodes have no place."""
    empty = ((line, None, misc) for misc, line in tree.empty)
    words = ((line, index, misc) for index, (misc, line) in enumerate(zip(tree.misc, tree.lines, strict=True)))
    for line, index, misc in heapq.merge(words, empty, key=lambda node: node[0]):
        yield index, misc, line


def _opening(text: str, fields: list[str], where: str) -> tuple[str, str]:
    """(group as it will be closed, type)."""
    values = text.split("-")
    if len(values) <= max(fields.index("GRP"), fields.index("etype")):
        raise Refusal(f"{where}: entity {text!r} should have the fields {'-'.join(fields)}")
    return values[fields.index("GRP")], values[fields.index("etype")]


def _mention(group: str, kind: str, first: int | None, last: int | None) -> Mention | str:
    """The mention, or the reason why it is no span of words."""
    parts = _PART.fullmatch(group)
    if parts is None or parts["part"]:
        return PIECES
    return EMPTY if first is None or last is None else Mention(kind, parts["chain"], (first, last + 1))
