"""Texts as rows of tokens: framed as the model wants them, padded to one length."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from replications.models import load
from replications.models.load import Loaded

PAD = 0  # never attended to


def tokens_of(loaded: Loaded, *parts: str) -> list[int]:
    """Tokens of some texts one after the other, each cut for itself, with the model's first token once."""
    first = [] if loaded.bos_id is None else [loaded.bos_id]
    return first + [token for part in parts for token in bare(loaded, part)]


def bare(loaded: Loaded, text: str) -> list[int]:
    """Tokens of a text without those that the model wants around it."""
    return load.encode_bare(loaded, [text])[0]


def padded(rows: Sequence[Sequence[int]], *, right: bool = False) -> tuple[Int[Tensor, "n T"], Int[Tensor, " n"]]:
    """Rows as one tensor, padding on the left (or right), and their lengths."""
    length = torch.tensor([len(row) for row in rows])
    width = int(length.max())
    fill = [[PAD] * (width - len(row)) for row in rows]
    whole = [[*row, *pad] if right else [*pad, *row] for row, pad in zip(rows, fill, strict=True)]
    return torch.tensor(whole).long(), length
