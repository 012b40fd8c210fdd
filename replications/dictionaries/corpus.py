"""The text that dictionaries are trained on: open, pinned, in many scripts; and its windows of tokens.

Prose, speeches, one declaration in 25 languages, program text, and two kinds of text that a program writes: numbers and
base64, which Bricken et al. 2023 found features for and which no small open corpus holds.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replications.catalogue import datasets
from replications.errors import Refusal

DATASETS = ("gutenberg", "sotu", "udhr", "program-text")
HELD_OUT = 0.1  # of each document, its end
MADE_LENGTH = 60_000  # characters of each text that a program writes
Encode = Callable[[Sequence[str]], list[list[int]]]


@dataclass(frozen=True)
class Document:
    """One text; `source` is what its share of the stream is stated by, `name` its file or its language."""

    source: str
    name: str
    text: str


@dataclass(frozen=True)
class Windows:
    """Windows of tokens [n, width], and of each window the index of its document [n]."""

    tokens: NDArray[np.int32]
    document: NDArray[np.int32]
    documents: tuple[Document, ...]

    def sources(self) -> list[str]:
        """Source of each window."""
        return [self.documents[index].source for index in self.document]


def documents(limit: int | None = None, sources: Sequence[str] = (*DATASETS, "numbers", "base64")) -> list[Document]:
    """Every text of the named sources, at most `limit` characters of each. Fetches what is not here."""
    found = [document for source in sources for document in _of_source(source)]
    return [Document(each.source, each.name, each.text[:limit]) for each in found]


def digest(texts: Sequence[Document]) -> str:
    """SHA-256 of all texts and their names: what a dictionary's identity knows of its corpus."""
    whole = hashlib.sha256()
    for each in texts:
        whole.update(f"{each.source}\0{each.name}\0{len(each.text)}\0{each.text}\n".encode())
    return whole.hexdigest()


def cut(
    texts: Sequence[Document], encode: Encode, *, width: int, first: int | None = None, held_out: bool = False
) -> Windows:
    """All whole windows of `width` tokens, in the order of the texts; `first` is the token put before each (BOS).

    `encode` gives the texts' own tokens, without a first one.

    The last tenth of each text is held out: windows come from there alone, or from the rest. Refuses texts without one.
    """
    parts = [_part(each.text, held_out) for each in texts]
    rows: list[list[int]] = []
    of: list[int] = []
    for index, body in enumerate(encode(parts) if parts else []):
        size = width - (first is not None)
        for start in range(0, len(body) - size + 1, size):
            rows.append(([] if first is None else [first]) + body[start : start + size])
            of.append(index)
    if not rows:
        names = ", ".join(sorted({each.source for each in texts})) or "no source"
        raise Refusal(f"the corpus ({names}) has no window of {width} tokens: it needs longer texts or shorter windows")
    return Windows(np.array(rows, np.int32), np.array(of, np.int32), tuple(texts))


def order(
    windows: Windows, shares: Mapping[str, float], n: int, seed: int, *, again: bool = True
) -> NDArray[np.int64]:  # fmt: skip
    """`n` indices of windows: each source has its share of them, in random order, going round when it is used up.

    Without `again` every window comes at most once, and there are fewer than `n` where a source is too small: a sample
    that repeats itself would look larger than it is. Refuses a source of `shares` that has no window.
    """
    sources = np.array(windows.sources())
    counts = _counts(shares, n)
    rounds = [_round(np.flatnonzero(sources == name), count, [seed, i], name, again)
              for i, (name, count) in enumerate(counts.items())]  # fmt: skip
    return np.random.default_rng([seed, len(shares)]).permutation(np.concatenate(rounds))


def _counts(shares: Mapping[str, float], n: int) -> dict[str, int]:
    """Whole windows of each source that add up to n; the rounding goes to the largest."""
    whole = sum(shares.values())
    counts = {name: int(n * share / whole) for name, share in shares.items()}
    counts[max(shares, key=lambda name: shares[name])] += n - sum(counts.values())
    return counts


def _round(available: NDArray[np.int64], count: int, seed: list[int], name: str, again: bool) -> NDArray[np.int64]:
    if count and not len(available):
        raise Refusal(f"the corpus has no window of source {name!r}, which should have a share of the stream")
    rng, taken = np.random.default_rng(seed), [np.empty(0, np.int64)]
    while sum(map(len, taken)) < count:
        taken.append(rng.permutation(available))
    return np.concatenate(taken)[: count if again else min(count, len(available))]


def _part(text: str, held_out: bool) -> str:
    at = int(len(text) * (1 - HELD_OUT))
    return text[at:] if held_out else text[:at]


def _of_source(source: str) -> list[Document]:
    if source in MADE:
        return [Document(source, source, MADE[source]())]
    read: dict[str, Any] = {"udhr": _paragraphs}
    files = datasets.fetch(source)
    plain = {name: path.read_text(encoding="utf-8", errors="replace") for name, path in files.items()}
    return [Document(source, name.partition(".")[0], read.get(source, str)(text)) for name, text in plain.items()]


class _Paragraphs(HTMLParser):
    """What stands in the body of a page, one block per line."""

    BLOCKS = ("h1", "h2", "h3", "h4", "p", "li")

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.inside = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag in self.BLOCKS:
            self.inside += 1
            self.lines.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside -= tag in self.BLOCKS

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.lines[-1] += data


def _paragraphs(page: str) -> str:
    parser = _Paragraphs()
    parser.feed(page)
    return "\n".join(line for line in (" ".join(line.split()) for line in parser.lines) if line)


def _numbers() -> str:
    """Rows of comma-separated numbers of one to six digits."""
    rng = np.random.default_rng(0)
    rows = (", ".join(str(rng.integers(10 ** rng.integers(1, 7))) for _ in range(12)) for _ in range(MADE_LENGTH // 50))
    return "\n".join(rows)[:MADE_LENGTH]


def _base64() -> str:
    """Random bytes in base64, in lines of 76 characters as mail has them."""
    return base64.encodebytes(np.random.default_rng(1).bytes(MADE_LENGTH * 3 // 4)).decode()[:MADE_LENGTH]


MADE: dict[str, Callable[[], str]] = {"numbers": _numbers, "base64": _base64}
