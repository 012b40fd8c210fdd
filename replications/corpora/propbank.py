"""PropBank over the English Web Treebank (Pradhan et al. 2022): constituents and semantic roles, without the words.

Two forms: the release's skeletons (one file of columns per document, words masked), which are aligned here to the
treebank's sentences, and JSON lines in which that alignment has been made. Both give rows that are joined with trees.
"""

from __future__ import annotations

import io
import json
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from replications.corpora import brackets
from replications.corpora.conllu import Tree
from replications.corpora.edges import Sentence, Target, WordSpan
from replications.errors import Refusal

SKELETONS = re.compile(r"(?:.*/)?data/google/ewt/(?P<genre>[a-z]+)/\d+/(?P<document>[^/]+?)(?:\.xml)?\.gold_skel")
CLEAN = re.compile(r"ARG[0-5A]|ARGM-[A-Z]+")  # core and modifiers; no continuation (C-), reference (R-) or V
AGREEMENT = 0.8  # share of a sentence's tags that must agree for an alignment
LARGEST = 1 << 24  # bytes of a skeleton, and pairs of sentences that are compared: far more than a document has
FIXED = 8  # columns before those of the predicates: document, sentence, word, [WORD], tag, brackets, lemma, frame
_ARGUMENT = re.compile(r"\((?P<role>[^*()]+)\*|\*")


@dataclass(frozen=True)
class Predicate:
    """A predicate's words and its arguments: (role, span)."""

    span: WordSpan
    arguments: tuple[tuple[str, WordSpan], ...]


@dataclass(frozen=True)
class PropbankRow:
    """What PropBank says of one sentence: the words' tags, the constituents, the predicates."""

    tags: tuple[str, ...]
    constituents: tuple[tuple[str, WordSpan], ...]
    predicates: tuple[Predicate, ...]


def read_joined(text: str, name: str) -> dict[str, PropbankRow]:
    """Sentence id -> row, out of the JSON lines."""
    rows = {}
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            record = json.loads(line)
            predicates = tuple(_predicate(entry["args"]) for entry in record["preds"])
            row = PropbankRow(tuple(record["xpos"]), brackets.columns(record["tree"]).spans, predicates)
            rows[record["sent_id"]] = _checked(row)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Refusal(f"{name}, line {number}: not a row of PropBank ({type(error).__name__}: {error})") from None
    return rows


def read_release(data: bytes, name: str, trees: Iterable[Tree]) -> dict[str, PropbankRow]:
    """Sentence id -> row, out of the release's archive, aligned to the trees document by document."""
    documents: dict[str, list[Tree]] = {}
    for tree in trees:
        documents.setdefault(tree.id.rpartition("-")[0], []).append(tree)
    rows: dict[str, PropbankRow] = {}
    for found, text in _members(data, name):
        skeletons = read_skeletons(text, f"{name}: {found[0]}")
        partners = documents.get(f"{found['genre']}-{found['document']}", [])
        if len(skeletons) * len(partners) > LARGEST:
            raise Refusal(f"{name}: {found[0]} has {len(skeletons)} sentences; one document's are expected")
        rows |= align(skeletons, partners)
    if not rows:
        raise Refusal(f"{name} holds no skeleton that belongs to a sentence of the treebank")
    return rows


def _members(data: bytes, name: str) -> Iterator[tuple[re.Match[str], str]]:
    """(name of the file as SKELETONS takes it apart, text) of every skeleton in the archive."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                found = SKELETONS.fullmatch(member.name)
                held = archive.extractfile(member) if found and member.isfile() else None
                if found and held:
                    if member.size > LARGEST:
                        raise ValueError(f"{member.name} has {member.size} bytes")
                    yield found, held.read().decode()
    except (tarfile.TarError, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
        raise Refusal(f"{name} is not a sound archive ({error}): fetch it again") from None


def read_skeletons(text: str, name: str) -> list[PropbankRow]:
    """The rows of one document, in its order. Refuses lines of unequal columns and roles that do not close."""
    rows, block = [], []
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        if line.strip():
            block.append(line.split())
        elif block:
            try:
                rows.append(_checked(_skeleton(block)))
            except ValueError as error:
                raise Refusal(f"{name}, lines {number - len(block)}-{number - 1}: {error}") from None
            block = []
    return rows


def align(rows: list[PropbankRow], trees: list[Tree]) -> dict[str, PropbankRow]:
    """Sentence id -> row: the longest chain of pairs, in both orders, of equal length whose tags agree.

    The treebank and PropBank cut a few documents into sentences differently; what has no partner is left out.
    """
    best = [[0] * (len(trees) + 1) for _ in range(len(rows) + 1)]
    for i in reversed(range(len(rows))):
        for j in reversed(range(len(trees))):
            pair = 1 + best[i + 1][j + 1] if _agree(rows[i], trees[j]) else 0
            best[i][j] = max(pair, best[i + 1][j], best[i][j + 1])
    found, i, j = {}, 0, 0
    while i < len(rows) and j < len(trees):
        if _agree(rows[i], trees[j]) and best[i][j] == 1 + best[i + 1][j + 1]:
            found[trees[j].id] = rows[i]
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return found


def constituents(tree: Tree, row: PropbankRow) -> Sentence:
    """The sentence with its constituents as targets."""
    return Sentence(tree.id, tree.words, brackets.targets(row.constituents))


def roles(tree: Tree, row: PropbankRow) -> Sentence:
    """The sentence with its roles as targets: span1 is the predicate, span2 the argument; "clean" roles only.

    Core arguments and ARGM modifiers; continuations and references are dropped, as in Tenney et al. 2019b.
    """
    targets = [
        Target(predicate.span, span, (role,))
        for predicate in row.predicates
        for role, span in predicate.arguments
        if CLEAN.fullmatch(role)
    ]
    return Sentence(tree.id, tree.words, tuple(targets))


def join(trees: Iterable[Tree], rows: dict[str, PropbankRow], name: str) -> list[tuple[Tree, PropbankRow]]:
    """The trees that have a row. Refuses a row of another length than its sentence."""
    pairs = [(tree, rows[tree.id]) for tree in trees if tree.id in rows]
    for tree, row in pairs:
        if len(tree.words) != len(row.tags):
            raise Refusal(f"{name}: sentence {tree.id} has {len(row.tags)} words, {len(tree.words)} in the treebank")
    return pairs


def _skeleton(block: list[list[str]]) -> PropbankRow:
    if len({len(cells) for cells in block}) != 1 or len(block[0]) < FIXED:
        raise ValueError(f"the lines should have equally many columns, {FIXED} at least")
    if [cells[2] for cells in block] != [str(index) for index in range(len(block))]:
        raise ValueError(f"the words should be numbered 0 to {len(block) - 1}")
    tree = brackets.columns(" ".join(cells[5] for cells in block))
    columns = list(zip(*(cells[FIXED:] for cells in block), strict=True))
    predicates = tuple(_predicate(_role_spans(column)) for column in columns)
    return PropbankRow(tuple(cells[4] for cells in block), tree.spans, predicates)


def _role_spans(column: tuple[str, ...]) -> list[tuple[str, int, int]]:
    """(role, first word, last word) of a predicate's column such as "(ARG0* *) (V*)"."""
    spans: list[tuple[str, int, int]] = []
    role, start = "", 0
    for index, cell in enumerate(column):
        opening, closing = cell.rstrip(")"), cell.endswith(")")
        found = _ARGUMENT.fullmatch(opening)
        if found is None or (found["role"] and role) or (closing and not (found["role"] or role)):
            raise ValueError(f"word {index}: {cell!r} does not fit into a column of roles")
        if found["role"]:
            role, start = found["role"], index
        if closing:
            spans.append((role, start, index))
            role = ""
    if role:
        raise ValueError(f"({role} is not closed")
    return spans


def _predicate(arguments: Iterable) -> Predicate:
    spans = [(str(role), (first, last + 1)) for role, first, last in arguments]
    (verb,) = [span for role, span in spans if role == "V"]
    return Predicate(verb, tuple((role, span) for role, span in spans if role != "V"))


def _checked(row: PropbankRow) -> PropbankRow:
    spans = [span for _, span in row.constituents]
    spans += [span for p in row.predicates for span in (p.span, *(span for _, span in p.arguments))]
    for start, end in spans:
        if not isinstance(start, int) or not isinstance(end, int) or not 0 <= start < end <= len(row.tags):
            raise ValueError(f"span [{start}, {end}) does not lie in the sentence's {len(row.tags)} words")
    return row


def _agree(row: PropbankRow, tree: Tree) -> bool:
    if len(row.tags) != len(tree.xpos):
        return False
    same = sum(a == b for a, b in zip(row.tags, tree.xpos, strict=True))
    return same >= AGREEMENT * len(row.tags)
