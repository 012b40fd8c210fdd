"""CoNLL-U, strictly: a file that breaks the format is refused with its line, and nothing is guessed.

The words are the syntactic words, as in the probing literature: the surface ranges of multiword tokens ("9-10 na")
are checked and left out, so are empty nodes ("8.1"), and enhanced dependencies (column 9) are not read at all. A word
may hold a space, as numbers do in some languages ("25 000").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from replications.errors import Refusal

COLUMNS = 10
_NUMBER = r"[1-9][0-9]{0,8}"
_ID = re.compile(rf"(?P<word>{_NUMBER})|(?P<first>{_NUMBER})-(?P<last>{_NUMBER})|(?P<empty>(?:0|{_NUMBER})\.{_NUMBER})")
_HEAD = re.compile(rf"0|{_NUMBER}")


@dataclass(frozen=True)
class Tree:
    """One sentence: per word its tags, its head (1-based; 0 is the root) and relation, its MISC column and its line.

    `empty` are the empty nodes: their MISC column and their line.
    """

    id: str
    document: str
    words: tuple[str, ...]
    upos: tuple[str, ...]
    xpos: tuple[str, ...]
    heads: tuple[int, ...]
    relations: tuple[str, ...]
    misc: tuple[str, ...] = ()
    lines: tuple[int, ...] = ()
    comments: tuple[str, ...] = ()
    empty: tuple[tuple[str, int], ...] = ()


def read(text: str, name: str) -> tuple[Tree, ...]:
    """Every sentence of a CoNLL-U text; `name` is what a refusal calls the file. Refuses a repeated sentence id."""
    trees: list[Tree] = []
    document, seen = "", dict[str, int]()
    for start, lines in _blocks(text):
        tree = _tree(lines, start, name, document)
        document = tree.document
        if tree.id in seen:
            raise Refusal(f"{name}, line {start}: sentence {tree.id} stands at line {seen[tree.id]} already")
        seen[tree.id] = start
        trees.append(tree)
    if not trees:
        raise Refusal(f"{name} holds no sentence in CoNLL-U")
    return tuple(trees)


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """(number of the first line, lines) of every run of lines between blank lines."""
    block: list[str] = []
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        line = line.removesuffix("\r")
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def _tree(lines: list[str], start: int, name: str, document: str) -> Tree:
    words, numbers, empty = _rows(lines, start, name)
    comments = tuple(line for line in lines if line.startswith("#"))
    about = _metadata(comments)
    if "sent_id" not in about:
        raise Refusal(f"{name}, line {start}: the sentence should begin with a `# sent_id = ...` line")
    _, forms, _, upos, xpos, _, heads, relations, _, misc = zip(*words, strict=True)
    tree = Tree(
        id=about["sent_id"],
        document=about.get("newdoc id") or about.get("newdoc_id") or document,
        words=forms,
        upos=upos,
        xpos=xpos,
        heads=tuple(map(int, heads)),
        relations=relations,
        misc=misc,
        lines=tuple(numbers),
        comments=comments,
        empty=tuple(empty),
    )
    _check_heads(tree.heads, numbers, name)
    return tree


def _metadata(comments: tuple[str, ...]) -> dict[str, str]:
    """What `# key = value` lines say; other comments say nothing."""
    pairs = (comment[1:].partition("=") for comment in comments)
    return {key.strip(): value.strip() for key, _, value in pairs if value.strip()}


def _rows(lines: list[str], start: int, name: str) -> tuple[list[list[str]], list[int], list[tuple[str, int]]]:
    """(cells of the words, their line numbers, empty nodes), after checking columns, ids, ranges and forms."""
    words: list[list[str]] = []
    numbers: list[int] = []
    empty, range_ends = list[tuple[str, int]](), 0
    for number, line in enumerate(lines, start=start):
        if line.startswith("#"):
            continue
        cells = line.rstrip().split("\t")
        if _is_next_word(cells, len(words) + 1):
            words.append(cells)
            numbers.append(number)
            continue
        where = f"{name}, line {number}"
        if len(cells) != COLUMNS:
            raise Refusal(f"{where}: {COLUMNS} columns separated by tabs are expected, got {len(cells)}")
        matched = _ID.fullmatch(cells[0])
        if matched is None:
            raise Refusal(f"{where}: {cells[0][:20]!r} is no id of a word (3), a range (3-4) or an empty node (3.1)")
        if matched["first"]:
            range_ends = _range_end(matched, len(words), range_ends, where)
        if matched["empty"]:
            empty.append((cells[-1], number))
        if matched["word"]:
            _refuse_word(cells, len(words) + 1, where)
    if not words:
        raise Refusal(f"{name}, line {start}: the sentence has no word")
    if range_ends > len(words):
        raise Refusal(f"{name}, line {start}: a range reaches to word {range_ends} of {len(words)}")
    return words, numbers, empty


def _range_end(matched: re.Match, n_words: int, previous: int, where: str) -> int:
    first, last = int(matched["first"]), int(matched["last"])
    if first != n_words + 1 or last <= first or first <= previous:
        raise Refusal(f"{where}: range {first}-{last} should begin at word {n_words + 1} and span two words or more")
    return last


def _is_next_word(cells: list[str], expected: int) -> bool:
    """Whether nothing is wrong with a word's line, which is what nearly every line is."""
    return (
        len(cells) == COLUMNS
        and cells[0] == str(expected)
        and cells[1].strip() != ""
        and cells[3] not in ("", "_")
        and cells[7] not in ("", "_")
        and _HEAD.fullmatch(cells[6]) is not None
    )


def _refuse_word(cells: list[str], expected: int, where: str) -> None:
    """Say what is wrong with a word's line."""
    if int(cells[0]) != expected:
        raise Refusal(f"{where}: word {expected} is expected, got {cells[0]}")
    if not cells[1].strip():
        raise Refusal(f"{where}: the word is empty")
    if not _HEAD.fullmatch(cells[6]):
        raise Refusal(f"{where}: the head should be the number of a word or 0, not {cells[6][:20]!r}")
    raise Refusal(f"{where}: the word should have a universal tag and a relation")


def _check_heads(heads: tuple[int, ...], numbers: list[int], name: str) -> None:
    """Refuse a head outside the sentence and a cycle: from every word the root must be reachable."""
    reaches = {0}
    for word, number in enumerate(numbers, start=1):
        if heads[word - 1] > len(heads):
            raise Refusal(f"{name}, line {number}: head {heads[word - 1]} is outside its {len(heads)} words")
    for word, number in enumerate(numbers, start=1):
        path = set()
        while word not in reaches:
            if word in path:
                raise Refusal(f"{name}, line {number}: the heads form a cycle through word {word}")
            path.add(word)
            word = heads[word - 1]
        reaches.update(path)
