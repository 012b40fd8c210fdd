"""Feature cards: what is shown of a feature. `report.pages` draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

BINS = 32  # bars of a histogram


@dataclass(frozen=True)
class Context:
    """Tokens of a window's part as text, the feature's activation on each of them, and what to say of it.

    inside: whether the token of the largest activation is of what the feature is shown for; None where that is nothing.
    """

    tokens: tuple[str, ...]
    activations: tuple[float, ...]
    note: str = ""
    inside: bool | None = None


@dataclass(frozen=True)
class Histogram:
    """Tokens by activation, in equal steps from 0 to `top`: all, and those of what the feature is shown for."""

    top: float
    every: tuple[int, ...]
    inside: tuple[int, ...]
    of: str


@dataclass(frozen=True)
class Card:
    """One feature: what was measured of it in a line, facts by name, tokens that it makes likelier and less likely."""

    feature: int
    label: str
    facts: tuple[tuple[str, str], ...]
    promotes: tuple[str, ...]
    suppresses: tuple[str, ...]
    contexts: tuple[Context, ...]
    histogram: Histogram | None = None


def top_positions(f: Float[Tensor, "w t"], n: int) -> list[tuple[int, int]]:
    """(window, position) of a feature's n largest activations, at most one of each window, largest first."""
    values, positions = f.max(dim=1)
    order = values.argsort(descending=True, stable=True)[:n].tolist()
    return [(window, int(positions[window])) for window in order if values[window] > 0]


def context(
    tokens: Sequence[str], activations: Sequence[float], at: int, *, around: int = 10, note: str = "",
    inside: bool | None = None,
) -> Context:  # fmt: skip
    """The part of a window around a position."""
    start, end = max(0, at - around), at + around + 1
    return Context(tuple(tokens[start:end]), tuple(activations[start:end]), note, inside)


def histogram(a: Float[Tensor, " n"], inside: Bool[Tensor, " n"], of: str) -> Histogram | None:
    """Of the tokens on which a feature is active; None of one that never is. `of` names what `inside` is about."""
    top = float(a.max())
    if top <= 0:
        return None
    every, within = (torch.histc(some.float(), BINS, 0, top) for some in (a[a > 0], a[(a > 0) & inside]))
    return Histogram(top, tuple(map(int, every.tolist())), tuple(map(int, within.tolist())), of)


def logit_effect(
    direction: Float[Tensor, " d"], unembedding: Float[Tensor, "vocab d"], n: int
) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Tokens whose logits a direction in the residual stream raises most and lowers most, by its product with them."""
    effect = unembedding @ direction
    return torch.topk(effect, n).indices, torch.topk(-effect, n).indices
