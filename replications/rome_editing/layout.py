"""Rows of different lengths as one list of tokens, each row from some column on: which tokens see which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from replications.models.families import FULL, SLIDING


@dataclass(frozen=True)
class Layout:
    """t tokens of r copies of rows. Columns before a copy's first one are the base run's.

    `slots` are the tokens' numbers in the base run; `owner` the copy and `columns` the column of each; `subject` the
    token that is each copy's last subject token (0 where it is not among them), `asked` the tokens whose states are
    read. Attention is padded: `queries` are token numbers by copy and place, `keys` numbers in the list of the base
    run's tokens followed by these, `visible` says by kind of layer which key each query sees.
    """

    slots: Int[Tensor, " t"]
    owner: Int[Tensor, " t"]
    columns: Int[Tensor, " t"]
    subject: Int[Tensor, " r"]
    asked: Int[Tensor, " k"]
    queries: Int[Tensor, "r Q"]
    place: Int[Tensor, " t"]
    keys: Int[Tensor, "r K"]
    visible: dict[str, Bool[Tensor, "r Q K"]]


@dataclass(frozen=True)
class Spans:
    """Rows of the base run: where each begins in its list of tokens and how long it is; which columns matter."""

    begin: list[int]
    length: list[int]
    subject: list[int]
    asked: list[tuple[int, ...]]

    @property
    def n_tokens(self) -> int:
        return self.begin[-1] + self.length[-1]


def lay_out(spans: Spans, rows: Sequence[int], first: Sequence[int], window: int | None, device: str) -> Layout:
    """Copies of `rows`, each from column `first` on; `window` is how far back sliding layers see."""
    length = torch.tensor([spans.length[row] for row in rows])
    base = torch.tensor([spans.begin[row] for row in rows])
    start = torch.tensor(list(first))
    count = length - start
    begin = count.cumsum(0) - count  # where each copy begins in the list of live tokens
    owner = torch.repeat_interleave(torch.arange(len(rows)), count)
    columns = torch.arange(len(owner)) - begin[owner] + start[owner]
    subject = torch.tensor([max(spans.subject[row] - f, 0) for row, f in zip(rows, first, strict=True)]) + begin
    asked = [int(begin[i]) + column - first[i] for i, row in enumerate(rows) for column in spans.asked[row]]
    queries, place = _queries(count, begin, owner)
    everywhere = torch.arange(int(length.max()))
    inside = everywhere < length[:, None]
    of_base, of_live = base[:, None] + everywhere, spans.n_tokens + begin[:, None] + everywhere - start[:, None]
    keys = torch.where(everywhere < start[:, None], of_base, of_live).where(inside, base[:, None])
    visible = _visible(start, count, queries.shape[1], everywhere, inside, window)
    tensors = (base[owner] + columns, owner, columns, subject, torch.tensor(asked), queries, place, keys)
    there: list[Any] = [*(t.to(device) for t in tensors), {kind: seen.to(device) for kind, seen in visible.items()}]
    return Layout(*there)


def _queries(count: Tensor, begin: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
    """Token numbers by copy and place, 0 where a copy has fewer; and each token's place in that table, flattened."""
    places = torch.arange(int(count.max()))
    queries = (begin[:, None] + places).where(places < count[:, None], torch.tensor(0))
    return queries, owner * len(places) + torch.arange(len(owner)) - begin[owner]


def _visible(
    start: Tensor, count: Tensor, width: int, everywhere: Tensor, inside: Tensor, window: int | None
) -> dict[str, Tensor]:
    """Causal; a place without a token sees column 0, since a softmax over nothing is NaN, even where nobody looks."""
    places = torch.arange(width)
    back = (start[:, None] + places)[..., None] - everywhere
    nobody = (places >= count[:, None])[..., None] & (everywhere == 0)
    seen = inside[:, None] & (back >= 0) & (places < count[:, None])[..., None]
    kinds = {FULL: seen | nobody}
    if window is not None:
        kinds[SLIDING] = (seen & (back < window)) | nobody
    return kinds
