"""Splits of corpora that come without: by the SHA-256 of an id, so that one id falls on one side in every language."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

from replications.corpora.edges import SPLITS

T = TypeVar("T")
SHARES = (0.6, 0.2, 0.2)  # 600, 200 and 200 of a parallel treebank's 1,000 sentences


def by_id(items: Sequence[T], key: Callable[[T], str]) -> dict[str, tuple[T, ...]]:
    """Rank the items by the hash of their id; the first share is train, then dev, then test. File order is kept."""
    ranked = sorted(items, key=lambda item: hashlib.sha256(key(item).encode()).digest())
    ends = [round(sum(SHARES[: place + 1]) * len(items)) for place in range(len(SPLITS))]
    side = {key(item): SPLITS[sum(rank >= end for end in ends)] for rank, item in enumerate(ranked)}
    return {split: tuple(item for item in items if side[key(item)] == split) for split in SPLITS}
