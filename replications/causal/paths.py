"""Path patching (Wang et al. 2022, section 3.1 and appendix B): what a head does to the logits, or through others.

The base run is run again with one sender head taking its value from the source run, *all other heads frozen* at the
base run and MLPs recomputed. What the logits, or the inputs of some receiver heads, become is the sender's direct
effect on them. For receivers a second pass follows: the base run with only the receivers' queries (or keys, or values)
replaced by what the first pass gave them, everything else recomputed.

With every head frozen no column sees another, so a sender's copy is as many one-column copies as it is patched at.
Base clean and source corrupted (the ABC prompts) is the paper's direction; nothing here depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from replications.causal.cells import Cells, grid
from replications.causal.metrics import Metric
from replications.causal.patch import BUDGET, chunks, edits_at
from replications.causal.runs import RecordedRun
from replications.causal.stack import Stack
from replications.causal.sweep import Edit, SweepLayout, Tracks, answer_states

LayerHead = tuple[int, int]  # layer, head


@dataclass(frozen=True)
class Receivers:
    """Heads whose `site` (q, k or v) is reached, at some columns.

    Heads are numbered as TransformerLens numbers that site: with grouped queries, k and v have one number per group.
    """

    site: str
    heads: Sequence[LayerHead]
    columns: Sequence[int]


def _sender_cells(
    stack: Stack, senders: Sequence[LayerHead], columns: Sequence[int], n: int, device: torch.device
) -> Cells:
    """Ordered sender, column, row."""
    rows, at = torch.arange(n, device=device), torch.tensor(list(columns), device=device)
    parts = [grid("z", [(layer, layer + 1)], at, rows, heads=[head]) for layer, head in senders]
    return Cells(*(torch.cat(column) for column in zip(*(vars(part).values() for part in parts), strict=True)))


def _require(stack: Stack, base: RecordedRun, source: RecordedRun, site: str = "z") -> None:
    """ValueError for what cannot be path-patched: an encoder, or runs that did not keep what is needed."""
    if not stack.causal:
        raise ValueError(f"{stack.config.model_type}: path patching is defined here for causal models")
    if "z" not in base.sites or "z" not in source.sites or (site == "q" and "q" not in base.sites):
        raise ValueError("path patching needs both runs with sites=['z'], and the base run with 'q' to patch queries")


@torch.inference_mode()
def to_logits(
    stack: Stack,
    base: RecordedRun,
    source: RecordedRun,
    senders: Sequence[LayerHead],
    metric: Metric,
    *,
    budget: int = BUDGET,
) -> Float[Tensor, "sender n"]:
    """The metric when each sender's direct path to the logits carries its source value.

    Only what the sender writes at the asked column can get there.
    """
    _require(stack, base, source)
    n, device = len(base), base.asked.device
    cells = _sender_cells(stack, senders, [0], n, device)
    cells = Cells(**(vars(cells) | {"column": base.asked[cells.row]}))
    values = torch.empty(len(cells), device=device)
    for part in _parts(stack, base, cells, budget):
        some = cells[part]
        states = _direct(stack, base, source, some, None)
        values[part] = metric(stack, states, some.row)
    return values.view(len(senders), n)


@torch.inference_mode()
def to_receivers(
    stack: Stack,
    base: RecordedRun,
    source: RecordedRun,
    senders: Sequence[LayerHead],
    receivers: Receivers,
    metric: Metric,
    *,
    budget: int = BUDGET,
) -> Float[Tensor, "sender n"]:
    """The metric when each sender's direct path to the receivers' q, k or v (all of them at once) is patched."""
    _require(stack, base, source, receivers.site)
    n, wide = len(base), len(receivers.columns)
    values = metric(stack, base.answer_state, torch.arange(n, device=base.asked.device)).repeat(len(senders), 1)
    reachable = [i for i, (layer, _) in enumerate(senders) if layer < max(layer for layer, _ in receivers.heads)]
    size = max(1, budget // _bytes_per_sender(stack, base, receivers))
    for some in (reachable[i : i + size] for i in range(0, len(reachable), size)):
        cells = _sender_cells(stack, [senders[i] for i in some], receivers.columns, n, base.asked.device)
        inputs = {
            head: base.site(receivers.site)[head[0]][cells.row, cells.column, head[1]] for head in receivers.heads
        }
        for part in _parts(stack, base, cells, budget):
            _direct(stack, base, source, cells[part], _Listener(receivers, inputs, cells, part))
        carried = {head: value.view(len(some), wide, n, -1) for head, value in inputs.items()}
        values[some] = _through(stack, base, receivers, carried, metric, budget)
    return values


class _Listener:
    """Keeps what the receivers get to read in the first pass: q, k or v of copies that have joined by their layer."""

    def __init__(self, receivers: Receivers, inputs: dict[LayerHead, Tensor], cells: Cells, part: Tensor) -> None:
        self.receivers, self.inputs, self.cells, self.part = receivers, inputs, cells, part

    def __call__(self, layer: int, site: str, x: Float[Tensor, "token head d_head"], layout: SweepLayout) -> None:
        if site != self.receivers.site:
            return
        here = (layout.active & (layout.tracks.start < layer)).nonzero()[:, 0]
        place = layout.token(here, self.cells.column[self.part[here]])
        for receiver in self.receivers.heads:
            if receiver[0] == layer:
                self.inputs[receiver][self.part[here]] = x[place, receiver[1]]


def _direct(
    stack: Stack, base: RecordedRun, source: RecordedRun, cells: Cells, listener: _Listener | None
) -> Float[Tensor, "C d_model"]:
    """First pass: each sender's column alone, all other heads frozen; states at that column."""
    tracks = Tracks(cells.row, cells.column, cells.start, alone=True)
    return answer_states(stack, base, tracks, lambda layer: edits_at(layer, cells, source), frozen=True, watch=listener)


def _through(
    stack: Stack,
    base: RecordedRun,
    receivers: Receivers,
    carried: Mapping[LayerHead, Tensor],
    metric: Metric,
    budget: int,
) -> Float[Tensor, "sender n"]:
    """Second pass: the receivers' inputs replaced in the base run, one copy per sender and row."""
    senders, _, n, _ = next(iter(carried.values())).shape
    rows = torch.arange(n, device=base.asked.device).repeat(senders)
    first = torch.full_like(rows, min(receivers.columns))
    start = torch.full_like(rows, min(layer for layer, _ in receivers.heads))
    cells = Cells(start, start, start, first, first, rows, rows)  # for its chunks alone
    values = torch.empty(len(rows), device=rows.device)
    for part in _parts(stack, base, cells, budget):

        def edits(layer: int, part: Tensor = part) -> dict[str, Edit]:
            found = [_receiver_edit(head, value.movedim(1, 2).flatten(0, 1)[part], receivers.columns)
                     for head, value in carried.items() if head[0] == layer]  # fmt: skip
            return {receivers.site: _together(found)} if found else {}

        states = answer_states(stack, base, Tracks(rows[part], first[part], start[part]), edits)
        values[part] = metric(stack, states, rows[part])
    return values.view(senders, n)


def _receiver_edit(head: LayerHead, value: Float[Tensor, "c column d_head"], columns: Sequence[int]) -> Edit:
    cell = torch.arange(len(value), device=value.device).repeat_interleave(len(columns))
    column = torch.tensor(list(columns), device=value.device).repeat(len(value))
    return Edit(cell, column, torch.full_like(cell, head[1]), value.flatten(0, 1))


def _together(edits: Sequence[Edit]) -> Edit:
    return Edit(*(torch.cat(column) for column in zip(*(vars(edit).values() for edit in edits), strict=True)))


def _parts(stack: Stack, base: RecordedRun, cells: Cells, budget: int) -> list[Int[Tensor, " k"]]:
    return list(chunks(stack, base, cells, torch.arange(len(cells), device=cells.row.device), budget))


def _bytes_per_sender(stack: Stack, base: RecordedRun, receivers: Receivers) -> int:
    """What is carried from the first pass to the second, for one sender."""
    d_head = base.keys[0].shape[-1]
    return 4 * len(base) * len(receivers.columns) * len(receivers.heads) * d_head
