"""Entities and coreference of GUM (Zeldes 2017), written in the MISC column as Entity=(1-person-... ... 1)."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from replications.corpora.conllu import Tree
from replications.corpora.edges import Sentence, Span, Target
from replications.errors import Refusal

OPEN_GENRES = ("academic", "bio", "court", "interview", "news", "voyage")  # texts under CC BY or CC BY-SA
_SCHEMA = re.compile(r"# global\.Entity = (\S+)")
_EVENT = re.compile(r"\((?P<open>[^()]+)(?P<closed>\))?|(?P<close>[^()]+)\)|(?P<bad>.)")
_PART = re.compile(r"(?P<chain>[^\[\]]+)(?P<part>\[\d+/\d+\])?")  # 7[1/2]: first of two pieces of entity 7


@dataclass(frozen=True)
class Mention:
    """An entity's type, the chain that it belongs to within its document, and its words."""

    kind: str
    chain: str
    span: Span


def is_open(tree: Tree) -> bool:
    """Whether the text's licence allows any use with attribution; documents are named GUM_<genre>_<title>."""
    return tree.document.startswith(tuple(f"GUM_{genre}_" for genre in OPEN_GENRES))


def entities(trees: Iterable[Tree], name: str) -> tuple[Sentence, ...]:
    """Every mention with its type, nested ones and pronouns included (OntoNotes has neither)."""
    return tuple(
        Sentence(tree.id, tree.words, tuple(Target(mention.span, None, (mention.kind,)) for mention in found))
        for tree, found in read(trees, name)
    )


def coreference(trees: Iterable[Tree], name: str) -> tuple[Sentence, ...]:
    """Every pair of mentions of one sentence: label 1 if they belong to one chain, else 0.

    As in OntoNotes only chains of two mentions or more (in the document) take part. The earlier mention is span1.
    """
    pairs = list(read(trees, name))
    sizes = Counter((tree.document, mention.chain) for tree, found in pairs for mention in found)
    sentences = []
    for tree, found in pairs:
        linked = [mention for mention in found if sizes[tree.document, mention.chain] > 1]
        targets = (
            Target(one.span, other.span, (str(int(one.chain == other.chain)),))
            for one, other in itertools.combinations(sorted(linked, key=lambda mention: mention.span), 2)
        )
        sentences.append(Sentence(tree.id, tree.words, tuple(targets)))
    return tuple(sentences)


def read(trees: Iterable[Tree], name: str) -> Iterable[tuple[Tree, tuple[Mention, ...]]]:
    """(tree, its mentions in the order of their opening). Mentions in several pieces are left out: they are no span."""
    fields: list[str] = []
    for tree in trees:
        for comment in tree.comments:
            if found := _SCHEMA.fullmatch(comment.strip()):
                fields = found[1].split("-")
        if not {"GRP", "etype"} <= set(fields):
            raise Refusal(f"{name}: sentence {tree.id}: a `# global.Entity = GRP-etype-...` line is expected before it")
        yield tree, _mentions(tree, fields, name)


def _mentions(tree: Tree, fields: list[str], name: str) -> tuple[Mention, ...]:
    opened: dict[str, list[int]] = {}
    found: list = []  # (type, first word) while open, then the mention, or None when it is no span
    for index, (misc, line) in enumerate(zip(tree.misc, tree.lines, strict=True)):
        value = next((part[7:] for part in misc.split("|") if part.startswith("Entity=")), "")
        for event in _EVENT.finditer(value):
            where, group = f"{name}, line {line}", event["close"]
            if event["bad"]:
                raise Refusal(f"{where}: Entity={value} is not a row of entities that open and close")
            if event["open"]:
                group, kind = _opening(event["open"], fields, where)
                opened.setdefault(group, []).append(len(found))
                found.append((kind, index))
            if event["close"] or event["closed"]:
                if not opened.get(group):
                    raise Refusal(f"{where}: entity {group} closes but is not open")
                place = opened[group].pop()
                found[place] = _mention(group, *found[place], index + 1)
    if left := [group for group, places in opened.items() if places]:
        raise Refusal(f"{name}, line {tree.lines[-1]}: sentence {tree.id} ends while entity {left[0]} is open")
    return tuple(mention for mention in found if mention is not None)


def _opening(text: str, fields: list[str], where: str) -> tuple[str, str]:
    """(group as it will be closed, type)."""
    values = text.split("-")
    if len(values) <= max(fields.index("GRP"), fields.index("etype")):
        raise Refusal(f"{where}: entity {text!r} should have the fields {'-'.join(fields)}")
    return values[fields.index("GRP")], values[fields.index("etype")]


def _mention(group: str, kind: str, start: int, end: int) -> Mention | None:
    parts = _PART.fullmatch(group)
    return None if parts is None or parts["part"] else Mention(kind, parts["chain"], (start, end))
