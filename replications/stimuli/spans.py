"""Which tokens carry which characters of a prompt (a sentence given as words: see `wordpieces`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Span = tuple[int, int]  # characters [start, end) of a text


@dataclass(frozen=True)
class Encoded:
    """A prompt's token ids and, for each, the characters [start, end) it covers; (0, 0) for a BOS."""

    text: str
    ids: list[int]
    spans: list[Span]


Encoder = Callable[[str], Encoded]


def tokens_of(encoded: Encoded, start: int, end: int) -> list[int]:
    """Indices of the tokens that cover any character of [start, end).

    A token's leading blank belongs to the word before it in the text only as a blank: it is not counted.
    """
    return [i for i, span in enumerate(encoded.spans) if trimmed(encoded.text, *span)[0] < end and span[1] > start]


def is_whole(encoded: Encoded, tokens: list[int], start: int, end: int) -> bool:
    """Whether these tokens cover exactly the characters [start, end), leading blanks aside."""
    if not tokens:
        return False
    first, last = encoded.spans[tokens[0]], encoded.spans[tokens[-1]]
    return trimmed(encoded.text, *first)[0] == start and last[1] == end


def continuation(encode: Encoder, prompt: str, answer: str) -> list[int] | None:
    """Token ids that `answer` adds to `prompt`; None when it changes how the prompt itself is tokenised."""
    before, after = encode(prompt).ids, encode(prompt + answer).ids
    return after[len(before) :] if after[: len(before)] == before and len(after) > len(before) else None


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The same characters without the blanks in front."""
    while start < end and text[start].isspace():
        start += 1
    return start, end
