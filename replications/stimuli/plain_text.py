"""What written stimuli may hold: text as it looks. No two spellings of one word, and nothing that cannot be seen.

A name written twice in different capitals, or with an accent of its own and as a letter, is drawn twice as often; an
invisible character changes the tokens of every sentence that it stands in.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

S = TypeVar("S", bound=Sequence[str])
UNSEEN = (
    "Cc",
    "Cf",
    "Cn",
    "Co",
    "Cs",
    "Zl",
    "Zp",
    "Zs",
)  # Unicode's categories: controls, formats, no characters, spaces
BLANK = (
    "\u034f",
    "\u115f",
    "\u1160",
    "\u17b4",
    "\u17b5",
    "\u2800",
    "\u3164",
    "\uffa0",
)  # letters and marks without ink
SELECTORS = range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0)  # of variants of the character before


def plain(text: str) -> str:
    """The text. ValueError when it is not in the composed form (NFC) or holds a character that cannot be seen."""
    for character in text:
        if character != " " and _is_unseen(character):
            name = unicodedata.name(character, "no name")
            raise ValueError(
                f"should hold no character that cannot be seen, as U+{ord(character):04X} ({name}): {text!r}"
            )
    if text != (composed := unicodedata.normalize("NFC", text)):
        raise ValueError(f"should have letters and accents in one (Unicode's NFC), as {composed!r}, not {text!a}")
    return text


def unpadded(text: str) -> str:
    """The text. ValueError when a space at either end would become a token of its own, and change every number."""
    if text != text.strip():
        raise ValueError(f"should neither begin nor end with a space: {text!r}")
    return text


Line = Annotated[str, Field(min_length=1), AfterValidator(unpadded), AfterValidator(plain)]


def folded(text: str) -> str:
    """What texts have in common that differ in capitals alone."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def repeated(items: Iterable[str]) -> list[str]:
    """What occurs more than once, whatever its capitals, as it is written first."""
    first: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for item in items:
        counts[first.setdefault(folded(item), item)] += 1
    return [item for item, count in counts.items() if count > 1]


def distinct(items: S) -> S:
    """The items. ValueError when one is there twice: it would be drawn twice as often."""
    if twice := repeated(items):
        raise ValueError(f"should list everything once; given twice: {', '.join(twice)}")
    return items


def _is_unseen(character: str) -> bool:
    if unicodedata.category(character) in UNSEEN or character in BLANK:
        return True
    return any(ord(character) in selectors for selectors in SELECTORS)
