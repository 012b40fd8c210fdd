"""One pass over the layers for many changed copies of the base run: each joins at its layer and from its column on.

Below its layer a copy *is* the base run. Before its first column it is too (causal mask), so those keys and values are
the base run's. What is left is packed into one flat list of tokens, so that every matrix product of a layer is one
call, whatever the lengths; attention goes through the copies that share a first column together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from replications.causal.cells import ALL
from replications.causal.runs import RecordedRun, attention
from replications.causal.stack import Stack

BY_HEAD = ("q", "k", "v", "z")


@dataclass(frozen=True)
class Tracks:
    """C copies of base rows: `first` is the first column that can differ, `start` the layer at which they join.

    With `alone`, that column is all there is of a copy: enough when heads are frozen, since no other column sees it.
    """

    row: Int[Tensor, " C"]
    first: Int[Tensor, " C"]
    start: Int[Tensor, " C"]
    alone: bool = False

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True)
class Edit:
    """What one site of one layer becomes: in copy `cell` at `column` (and `head`, or ALL) it is `value`."""

    cell: Int[Tensor, " k"]
    column: Int[Tensor, " k"]
    head: Int[Tensor, " k"]
    value: Float[Tensor, "k ..."]


Edits = Callable[[int], Mapping[str, Edit]]  # layer -> edits by site
Watch = Callable[[int, str, Tensor, "SweepLayout"], None]  # layer, q or k or v, activations [token head d_head], where


@dataclass(frozen=True)
class SweepLayout:
    """Which tokens are in the flat list from some layer on. Groups are (first column, rows of the base run)."""

    tracks: Tracks
    slots: Int[Tensor, " token"]  # row * T + column of each token
    joined: Int[Tensor, " token"]  # the layer at which its copy joined
    offset: Int[Tensor, " C"]  # where each copy begins
    active: Tensor  # [C] bool
    groups: list[tuple[int, Int[Tensor, " m"]]]

    def token(self, cell: Tensor, column: Tensor) -> Tensor:
        """Place in the flat list of a copy's column."""
        return self.offset[cell] + column - self.tracks.first[cell]

    def apply(self, edit: Edit | None, x: Float[Tensor, "token ..."]) -> None:
        """Write an edit's values into a site's activations, in place."""
        if edit is None or len(edit.cell) == 0:
            return
        place = self.token(edit.cell, edit.column)
        whole = edit.head == ALL
        if bool(whole.all()):
            x[place] = edit.value.view(-1, *x.shape[1:])
        else:
            x[place, edit.head] = edit.value


def layouts(base: RecordedRun, tracks: Tracks) -> Iterator[tuple[int, SweepLayout]]:
    """(layer, layout) wherever copies join, in order of layers."""
    width, device = base.frame.width, tracks.row.device
    order = (tracks.first * (1 + int(tracks.start.max())) + tracks.start).argsort(stable=True)
    row, first, start = tracks.row[order], tracks.first[order], tracks.start[order]
    length = torch.ones_like(first) if tracks.alone else width - first
    of_token = torch.repeat_interleave(torch.arange(len(order), device=device), length)
    within = torch.arange(len(of_token), device=device) - (length.cumsum(0) - length)[of_token]
    slots = row[of_token] * width + first[of_token] + within
    for layer in start.unique().tolist():
        here = start <= layer
        offset = torch.empty_like(length)
        offset[order] = (length * here).cumsum(0) - length * here
        active = torch.empty_like(here)
        active[order] = here
        tokens = here[of_token]
        groups = [(column, row[here & (first == column)]) for column in first[here].unique().tolist()]
        yield layer, SweepLayout(tracks, slots[tokens], start[of_token][tokens], offset, active, groups)


@torch.inference_mode()
def answer_states(
    stack: Stack, base: RecordedRun, tracks: Tracks, edits: Edits, *, frozen: bool = False, watch: Watch | None = None
) -> Float[Tensor, "C d_model"]:
    """Every copy's residual stream after the last layer at the asked column (or the only one).

    With `frozen`, all heads keep their base output unless edited (path patching); the base run must have kept `z`.
    """
    plan = dict(layouts(base, tracks))
    layout = plan[min(plan)]
    hidden = _join(base, min(plan), layout, None)
    with stack.packed():
        for layer in range(min(plan), stack.n_layers + 1):
            if layer in plan and layer > min(plan):
                layout = plan[layer]
                hidden = _join(base, layer, layout, hidden)
            here = edits(layer)
            layout.apply(here.get("resid_pre"), hidden)
            if layer < stack.n_layers:
                hidden = _layer(stack, base, layer, layout, hidden, here, frozen, watch)
    cells = torch.arange(len(tracks), device=tracks.row.device)
    return hidden[layout.token(cells, tracks.first if tracks.alone else base.asked[tracks.row])]


def _join(base: RecordedRun, layer: int, layout: SweepLayout, hidden: Tensor | None) -> Float[Tensor, "token d_model"]:
    """The copies that are there already, and the new ones, which are still the base run."""
    fresh = base.resid_pre[layer].flatten(0, 1)[layout.slots]
    if hidden is not None:
        fresh[layout.joined < layer] = hidden
    return fresh


def _layer(
    stack: Stack, base: RecordedRun, layer: int, layout: SweepLayout, hidden: Tensor, edits: Mapping[str, Edit],
    frozen: bool, watch: Watch | None,
) -> Float[Tensor, "token d_model"]:  # fmt: skip
    kind = stack.kinds[layer]

    def attend(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        for site, x in (("q", q), ("k", k), ("v", v)):
            if watch is not None:
                watch(layer, site, x, layout)
            layout.apply(edits.get(site), x)
        if frozen:
            z = base.site("z")[layer].flatten(0, 1)[layout.slots]
        else:
            z = _grouped(base, layer, kind, layout, q, k, v, scale, stack.score_cap)
        layout.apply(edits.get("z"), z)
        return z

    inside = {site: partial(layout.apply, edit) for site, edit in edits.items() if site not in (*BY_HEAD, "resid_pre")}
    return stack.layer(layer, hidden, base.frame.turn(kind, layout.slots), attend, inside)


def _grouped(
    base: RecordedRun,
    layer: int,
    kind: str,
    layout: SweepLayout,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float,
    cap: float | None,
) -> Float[Tensor, "token head d_head"]:
    """Attention of every copy to the base run's columns before its first and to its own from there on."""
    z, begin, width = torch.empty_like(q), 0, base.frame.width
    visible, alike = base.frame.visible[kind], base.frame.alike
    visible = visible[:1] if alike else visible
    for first, rows in layout.groups:
        end = begin + len(rows) * (width - first)
        qs, ks, vs = (part[begin:end].unflatten(0, (len(rows), -1)) for part in (q, k, v))
        if first > 0:
            ks = torch.cat([_of_rows(base.keys[layer][:, :first], rows), ks], dim=1)
            vs = torch.cat([_of_rows(base.values[layer][:, :first], rows), vs], dim=1)
        seen = visible[:, first:]
        z[begin:end] = attention(qs, ks, vs, seen if alike else seen[rows], scale, cap).flatten(0, 1)
        begin = end
    return z


def _of_rows(x: Float[Tensor, "n ..."], rows: Int[Tensor, " m"]) -> Float[Tensor, "m ..."]:
    """Some rows, without a copy where there is only one to choose from."""
    return x.expand(len(rows), *x.shape[1:]) if len(x) == 1 else x[rows]
