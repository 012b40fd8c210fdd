"""All cells of a patching map, exactly: the entrance to the engine.

A cell's value equals that of one whole forward pass with the same hook; tests hold it against TransformerLens' helpers.
What is saved is arithmetic that cannot change it: the layers below a cell, the columns before it, every position of
the unembedding but one, and cells that cannot differ from the base run, because everything up to their column is equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from replications.causal.cells import ALL, SITES, Cells
from replications.causal.metrics import Metric
from replications.causal.runs import TOKENS, RecordedRun, ShareDone
from replications.causal.stack import Stack
from replications.causal.sweep import Edit, Tracks, answer_states

BUDGET = 4 << 30  # bytes


@torch.inference_mode()
def patch(
    stack: Stack,
    base: RecordedRun,
    source: RecordedRun,
    cells: Cells,
    metric: Metric,
    *,
    held: str | None = None,
    budget: int = BUDGET,
    report: ShareDone | None = None,
) -> Float[Tensor, "C ..."]:
    """The metric of every cell. Denoising: corrupted base, clean source; noising: the other way round.

    The source run must have kept the sites of the cells. With `held` (attn_out or mlp_out, kept by the base run) each
    cell's column keeps its base value of that site in all later layers: the path through these modules is severed
    (Meng et al. 2022, figure 3). `budget` bounds what a chunk of cells takes, in bytes; the two runs are the caller's.
    `report` is told of every chunk's share of the work.
    ValueError for cells of another site than the residual stream with `held`.
    """
    if held is not None and cells.names != ["resid_pre"]:
        raise ValueError(f"{held} can be held after residual states, not after {', '.join(cells.names)}")
    values = metric(stack, base.answer_state, torch.arange(len(base), device=cells.row.device))[cells.row]
    live = _can_differ(stack, base, source, cells).nonzero()[:, 0]
    whole = _work(stack, base, cells[live]) if report is not None else 1.0
    for part in chunks(stack, base, cells, live, budget):
        some = cells[part]
        tracks = Tracks(some.row, _first(stack, some), some.start)

        def edits(layer: int, some: Cells = some) -> Mapping[str, Edit]:
            return {**edits_at(layer, some, source), **_held_at(layer, some, base, held)}

        values[part] = metric(stack, answer_states(stack, base, tracks, edits), some.row)
        if report is not None:
            report(_work(stack, base, some) / whole)
    return values


def _work(stack: Stack, base: RecordedRun, cells: Cells) -> float:
    """Layers and columns that the cells are recomputed in."""
    return float(((stack.n_layers + 1 - cells.start) * (base.frame.width - _first(stack, cells))).sum())


def edits_at(layer: int, cells: Cells, source: RecordedRun) -> Mapping[str, Edit]:
    """What the cells overwrite at this layer."""
    inside = (cells.start <= layer) & (layer < cells.stop)
    found = {}
    for site in cells[inside].names:
        some = (inside & (cells.site == SITES.index(site))).nonzero()[:, 0]
        where = cells[some]
        value = source.site(site)[layer][where.source, where.column]
        if site == "z":
            value = value[torch.arange(len(some), device=some.device), where.head]
        found[site] = Edit(some, where.column, where.head, value)
    return found


def _held_at(layer: int, cells: Cells, base: RecordedRun, site: str | None) -> Mapping[str, Edit]:
    """What the cells' columns keep from the base run at this layer; a residual state comes before its layer's modules.

    Nothing after the last layer.
    """
    if site is None or layer == len(base.site(site)):
        return {}
    some = (cells.start <= layer).nonzero()[:, 0]
    where = cells[some]
    value = base.site(site)[layer][where.row, where.column]
    return {site: Edit(some, where.column, torch.full_like(some, ALL), value)}


def chunks(stack: Stack, base: RecordedRun, cells: Cells, live: Int[Tensor, " k"], budget: int) -> Iterator[Tensor]:
    """Cells in order of layers, as many at a time as the budget allows."""
    live = live[cells.start[live].argsort(stable=True)]
    limit = max(1, budget // bytes_per_token(stack, base))
    if live.device.type == "cpu":
        limit = min(limit, TOKENS)
    ends = (base.frame.width - _first(stack, cells)[live]).cumsum(0)
    begin = 0
    while begin < len(live):
        done = 0 if begin == 0 else int(ends[begin - 1])
        end = max(begin + 1, int(torch.searchsorted(ends, done + limit, right=True)))
        yield live[begin:end]
        begin = end


def bytes_per_token(stack: Stack, base: RecordedRun) -> int:
    """What one more token takes at its most: streams, the widest sub-layer, and its copy of the prefix's keys."""
    widest = max(max(tensor.shape) for tensor in stack.layers[0].parameters())
    prefix = base.frame.width * base.keys[0].shape[2:].numel()
    return base.resid_pre[0].element_size() * (6 * stack.d_model + 4 * widest + 4 * prefix)


def _first(stack: Stack, cells: Cells) -> Int[Tensor, " C"]:
    """The first column to recompute: the patched one, or in an encoder all of them."""
    return cells.column if stack.causal else torch.zeros_like(cells.column)


def _can_differ(stack: Stack, base: RecordedRun, source: RecordedRun, cells: Cells) -> Bool[Tensor, " C"]:
    """Cells not before the first column in which the runs' inputs differ, nor after the asked one.

    And an input itself can only matter where it differs.
    """
    pairs, which = torch.stack([cells.row, cells.source]).unique(dim=1, return_inverse=True)
    unequal = (base.resid_pre[0][pairs[0]] != source.resid_pre[0][pairs[1]]).any(dim=-1)
    inputs = (cells.site == SITES.index("resid_pre")) & (cells.start == 0) & (cells.stop == 1)
    here = unequal[which, cells.column] | ~inputs
    if not stack.causal:
        return here & unequal.any(dim=1)[which]
    reached = unequal.cummax(dim=1).values
    return here & reached[which, cells.column] & (cells.column <= base.asked[cells.row])
