"""Many knock-outs at once, exactly: which heads are knocked out at which positions is one row of a table.

A head that is knocked out at a position writes there what a table of substitutes says (its mean over other prompts, its
output on another prompt) in place of its own `z`. A copy of a prompt with some heads knocked out is compared with a
*base*, a recorded run of the same prompt in which others, or none, are. Only what can differ from it is computed:

* A column joins at the layer at which it first differs: there a head of it goes in or out, or a head that is still in
  reads a column that differs already. In a circuit almost every head is out almost everywhere, and a head that is out
  reads nothing, so that two or three columns of a prompt are all there is of a copy.
* It leaves after the layer at which its keys and values are last read by a column that still matters.

What is left of all copies is packed into one flat list of tokens. Tests hold the values against whole forward passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from replications.causal.metrics import Metric
from replications.causal.runs import TOKENS, RecordedRun, attention
from replications.causal.stack import Stack

RecordedStates = tuple[list[Tensor], list[Tensor], list[Tensor]]  # resid_pre, keys and values by layer
COPIES = 512  # at a time: what they attend to is copied from the base for each of them


@dataclass(frozen=True)
class Base:
    """A recorded run of n prompts; `out` says which heads are knocked out in it, `instead` what such a head writes."""

    run: RecordedRun
    out: Bool[Tensor, "n layer T head"]
    instead: list[Float[Tensor, "n T head d_head"]]  # by layer

    def __len__(self) -> int:
        return len(self.run)


@dataclass(frozen=True)
class Copies:
    """C copies of base rows with the heads `out` knocked out (all of them, not only those beyond the base's)."""

    row: Int[Tensor, " C"]
    out: Bool[Tensor, "C layer T head"]

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, index: Int[Tensor, " k"]) -> Copies:
        return Copies(self.row[index], self.out[index])


@dataclass(frozen=True)
class Live:
    """At which layer a column of a copy joins, and after which its keys and values are read no more.

    A column that never differs, or that nobody reads once it does, has `start` >= `stop` and is not computed.
    """

    start: Int[Tensor, "C T"]
    stop: Int[Tensor, "C T"]

    @property
    def mask(self) -> Bool[Tensor, "C T"]:
        return self.start < self.stop


def unchanged(run: RecordedRun, instead: list[Float[Tensor, "n T head d_head"]]) -> Base:
    """The model as it is: a run without any knock-out. ValueError when the substitutes are not of its shape."""
    n, width, heads, _ = instead[0].shape
    if (n, width) != run.frame.mask.shape or len(instead) != len(run.keys):
        raise ValueError(f"substitutes for {n} prompts of {width} tokens and {len(instead)} layers do not fit the run")
    return Base(run, torch.zeros(n, len(instead), width, heads, dtype=torch.bool, device=run.asked.device), instead)


def live(base: Base, copies: Copies, *, whole: bool = False) -> Live:
    """Which columns of each copy to compute; with `whole`, all that differ, whether or not anybody reads them."""
    n_layers, width = copies.out.shape[1:3]
    layers = torch.arange(n_layers, device=copies.row.device)
    there = base.run.frame.mask[copies.row][:, None]  # nobody reads padding
    changed = (copies.out != base.out[copies.row]).any(-1) & there
    reads = (~copies.out).any(-1)  # C layer T: some head of this column is still in
    start = torch.full((len(copies), width), n_layers, device=copies.row.device)
    reached = start[:, 0].clone()  # the first layer after which some earlier column differs
    for column in range(width):
        sees = reads[:, :, column] & (layers > reached[:, None])
        start[:, column] = _first(changed[:, :, column] | sees)
        reached = torch.minimum(reached, start[:, column])
    if whole:
        return Live(start, torch.full_like(start, n_layers))
    asked, read = base.run.asked[copies.row], torch.full_like(reached, -1)
    stop = torch.empty_like(start)
    for column in reversed(range(width)):
        stop[:, column] = torch.where(asked == column, n_layers, read)
        reading = reads[:, :, column] & (layers < stop[:, column, None])
        read = torch.maximum(read, n_layers - 1 - _first(reading.flip(1)))
    return Live(start, stop)


def _first(flags: Bool[Tensor, "C layer"]) -> Int[Tensor, " C"]:
    """The first layer that is flagged; the number of layers where none is."""
    return torch.where(flags.any(1), flags.long().argmax(1), flags.shape[1])


@torch.inference_mode()
def values(stack: Stack, base: Base, copies: Copies, metric: Metric) -> Float[Tensor, " C"]:
    """The metric of every copy."""
    found = metric(stack, base.run.answer_state, torch.arange(len(base), device=copies.row.device))[copies.row]
    for part, states in _answers(stack, base, copies):
        found[part] = metric(stack, states, copies.row[part])
    return found


@torch.inference_mode()
def answer_states(stack: Stack, base: Base, copies: Copies) -> Float[Tensor, "C d_model"]:
    """Every copy's residual stream after the last layer at the asked column."""
    found = base.run.answer_state[copies.row]
    for part, states in _answers(stack, base, copies):
        found[part] = states
    return found


@torch.inference_mode()
def knocked_out(stack: Stack, base: Base, out: Bool[Tensor, "n layer T head"]) -> Base:
    """The base prompts with the heads `out` knocked out, recorded as a base of further knock-outs."""
    rows = torch.arange(len(base), device=base.run.asked.device)
    recorded = (base.run.resid_pre, base.run.keys, base.run.values)
    resid_pre, keys, values = ([tensor.clone() for tensor in kind] for kind in recorded)
    layers: RecordedStates = (resid_pre, keys, values)
    for part in rows.split(max(1, TOKENS // base.run.frame.width)):
        copies = Copies(part, out[part])
        _Pass(stack, base, copies, live(base, copies, whole=True), record=layers).states()
    run = replace(base.run, resid_pre=resid_pre, keys=keys, values=values, sites={})
    return Base(run, out, base.instead)


def _answers(stack: Stack, base: Base, copies: Copies) -> Iterator[tuple[Int[Tensor, " k"], Float[Tensor, "k d"]]]:
    """Some copies at a time that differ at the end at all, and their last states."""
    if not stack.causal:
        raise ValueError(f"{stack.config.model_type}: knock-outs are defined here for causal models")
    for some in torch.arange(len(copies), device=copies.row.device).split(16 * COPIES):
        there = live(base, copies[some])
        for part in _chunks(there):
            here = some[part]
            yield here, _Pass(stack, base, copies[here], Live(there.start[part], there.stop[part])).states()


def _chunks(there: Live) -> Iterator[Int[Tensor, " k"]]:
    """Copies that differ at the end (the asked column is the last one that can), those of like columns together."""
    mask = there.mask
    differ = mask.any(1).nonzero()[:, 0]
    weight = 2 ** torch.arange(mask.shape[1], device=mask.device, dtype=torch.double)
    order = differ[(mask[differ].double() @ weight).argsort(stable=True)]
    ends, begin = mask[order].sum(1).cumsum(0), 0
    while begin < len(order):
        done = 0 if begin == 0 else int(ends[begin - 1])
        end = int(torch.searchsorted(ends, done + TOKENS, right=True))
        end = max(begin + 1, min(end, begin + COPIES))
        yield order[begin:end]
        begin = end


class _Pass:
    """One pass over the layers for a few copies, their live columns packed into one list of tokens."""

    def __init__(
        self, stack: Stack, base: Base, copies: Copies, there: Live, record: RecordedStates | None = None
    ) -> None:
        self.stack, self.base, self.copies, self.record = stack, base, copies, record
        self.cell, self.column = there.mask.nonzero().unbind(1)
        self.row = copies.row[self.cell]
        self.start, self.stop = (kind[self.cell, self.column] for kind in (there.start, there.stop))

    def states(self) -> Float[Tensor, "C d_model"]:
        """The last states of all copies at the asked column."""
        run, last = self.base.run, self.stack.n_layers
        hidden = run.resid_pre[0].new_empty(len(self.cell), run.resid_pre[0].shape[-1])
        with self.stack.packed():
            for layer in range(int(self.start.min()) if len(self.start) else last, last):
                joins = (self.start == layer).nonzero()[:, 0]
                hidden[joins] = run.resid_pre[layer][self.row[joins], self.column[joins]]
                tokens = ((self.start <= layer) & (layer <= self.stop)).nonzero()[:, 0]
                if len(tokens):
                    hidden[tokens] = self._layer(layer, tokens, hidden[tokens])
        asked = (self.column == run.asked[self.row]).nonzero()[:, 0]
        found = run.answer_state[self.copies.row]
        found[self.cell[asked]] = hidden[asked]
        return found

    def _layer(self, layer: int, tokens: Int[Tensor, " k"], hidden: Tensor) -> Float[Tensor, "k d_model"]:
        run, kind = self.base.run, self.stack.kinds[layer]
        cells, copy = self.cell[tokens].unique(return_inverse=True)
        columns, place = self.column[tokens].unique(return_inverse=True)
        row, column, rows = self.row[tokens], self.column[tokens], self.copies.row[cells]

        def attend(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
            keys, others = run.keys[layer][rows], run.values[layer][rows]
            keys[copy, column], others[copy, column] = k, v
            queries = q.new_zeros(len(cells), len(columns), *q.shape[1:])
            queries[copy, place] = q
            seen = run.frame.visible[kind][rows][:, columns]
            z = attention(queries, keys, others, seen, scale, self.stack.score_cap)[copy, place]
            if self.record is not None:
                self.record[1][layer][row, column], self.record[2][layer][row, column] = k, v
            gone = self.copies.out[self.cell[tokens], layer, column]
            return torch.where(gone[..., None], self.base.instead[layer][row, column], z)

        turn = run.frame.turn(kind, row * run.frame.width + column)
        out = self.stack.layer(layer, hidden, turn, attend)
        if self.record is not None:
            self.record[0][layer + 1][row, column] = out
        return out
