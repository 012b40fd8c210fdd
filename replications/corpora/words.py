"""Words of running text with their places, for corpora whose annotations are places in characters."""

from __future__ import annotations

import itertools
import re

_WORD = re.compile(r"\w+(?:[-'’.]\w+)*|[^\w\s]")
CharSpan = tuple[int, int]  # characters [start, end)


def cut(text: str, marked: list[CharSpan]) -> tuple[tuple[str, ...], list[tuple[int, int]]]:
    """(words, word span of each marked place). A word ends wherever a marked place begins or ends.

    Raises ValueError for a place that holds no word.
    """
    edges = sorted({0, len(text), *(edge for place in marked for edge in place)})
    places = [
        (left + found.start(), left + found.end())
        for left, right in itertools.pairwise(edges)
        for found in _WORD.finditer(text[left:right])
    ]
    return tuple(text[start:end] for start, end in places), [_span(places, place) for place in marked]


def _span(places: list[CharSpan], marked: CharSpan) -> tuple[int, int]:
    inside = [index for index, (start, end) in enumerate(places) if marked[0] <= start and end <= marked[1]]
    if not inside:
        raise ValueError(f"there is no word between characters {marked[0]} and {marked[1]}")
    return inside[0], inside[-1] + 1
