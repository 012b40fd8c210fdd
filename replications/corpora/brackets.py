"""Constituents out of bracketed trees: Penn style "(NP (DT the))", and the column style "(NP* *)" of CoNLL."""

from __future__ import annotations

import re
from dataclasses import dataclass

from replications.corpora.edges import Target, WordSpan
from replications.errors import Refusal

LabelledSpan = tuple[str, WordSpan]
Open = tuple[str, int, int | None]  # label, first word, place among the spans; a tag has none

TOP = "TOP"
_COLUMN = re.compile(r"\((?P<open>[^\s()*]+)|(?P<word>\*)|(?P<close>\))|(?P<bad>[^\s])")
_PENN = re.compile(r"\(\s*(?P<open>[^\s()]*)|(?P<word>[^\s()]+)|(?P<close>\))")


@dataclass(frozen=True)
class Bracketing:
    """A tree's words (their tags and forms, where the notation has them) and its labelled spans, outer ones first."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    spans: tuple[LabelledSpan, ...]


def targets(spans: tuple[LabelledSpan, ...]) -> tuple[Target, ...]:
    """Constituents as in Tenney et al.: non-terminals only (no word level), with the label's category alone.

    "NP-SBJ=1" is an NP; the outermost bracket is TOP whatever its corpus calls it; unary chains give several targets.
    """
    return tuple(Target(span, None, (category(label),)) for label, span in spans)


def category(label: str) -> str:
    """The syntactic category without functions and indices."""
    return TOP if label in ("", "ROOT", TOP) else re.split(r"[-=|]", label)[0]


def columns(text: str) -> Bracketing:
    """A tree in which every word is `*`. Raises ValueError when brackets and words do not fit together."""
    spans: list[LabelledSpan] = []
    stack: list[Open] = []
    n_words = 0
    for found in _COLUMN.finditer(text):
        if found["bad"]:
            raise ValueError(f"{found['bad']!r} is neither bracket nor word")
        if found["open"]:
            stack.append((found["open"], n_words, len(spans)))
            spans.append((found["open"], (n_words, n_words)))
        elif found["word"]:
            n_words += 1
        else:
            _close(stack, spans, n_words)
    return _finished(spans, stack, ("",) * n_words, ("",) * n_words)


def penn(text: str) -> Bracketing:
    """A tree in which every word has its tag. Raises ValueError on traces (-NONE-) and on brackets that do not fit."""
    words: list[str] = []
    tags: list[str] = []
    spans: list[LabelledSpan] = []
    stack: list[Open] = []
    pending = False
    for found in _PENN.finditer(text):
        if found["word"]:
            if not pending:
                raise ValueError(f"{found['word']!r} stands without a tag")
            tag, _, place = stack[-1]
            del spans[place:]  # a tag is not a constituent
            words.append(_unescaped(found["word"]))
            tags.append(tag)
            stack[-1], pending = (tag, len(words), None), False
        elif found["close"]:
            _close(stack, spans, len(words))
            pending = False
        else:
            stack.append((found["open"], len(words), len(spans)))
            spans.append((found["open"], (len(words), len(words))))
            pending = True
    if "-NONE-" in tags:
        raise ValueError("a trace (-NONE-) is no word")
    return _finished(spans, stack, tuple(words), tuple(tags))


def penn_file(text: str, name: str) -> list[Bracketing]:
    """Every tree of a file in which a tree begins with a bracket at the start of a line; `#` opens a comment line."""
    starts, lines = [], text.split("\n")
    for index, line in enumerate(lines):
        if line.startswith("("):
            starts.append(index)
        elif line.startswith("#"):
            lines[index] = ""
        elif line.strip() and not starts:
            raise Refusal(f"{name}, line {index + 1}: a tree that begins with a bracket is expected")
    trees = []
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        try:
            trees.append(penn("\n".join(lines[start:end])))
        except ValueError as error:
            raise Refusal(f"{name}, lines {start + 1}-{end}: {error}") from None
    return trees


def _close(stack: list[Open], spans: list[LabelledSpan], n_words: int) -> None:
    if not stack:
        raise ValueError("a bracket closes that was not opened")
    label, start, place = stack.pop()
    if place is None:
        return
    if start == n_words:
        raise ValueError(f"({label}) holds no word")
    spans[place] = (label, (start, n_words))


def _finished(
    spans: list[LabelledSpan], stack: list[Open], words: tuple[str, ...], tags: tuple[str, ...]
) -> Bracketing:
    if stack:
        raise ValueError(f"({stack[-1][0]} is not closed")
    if not words:
        raise ValueError("the tree has no word")
    return Bracketing(words, tags, tuple(spans))


_ESCAPES = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}"}


def _unescaped(word: str) -> str:
    for escape, bracket in _ESCAPES.items():
        word = word.replace(escape, bracket)
    return word
