"""The maps that the rooms draw: prompt pairs with token replacement, and one fact with Gaussian noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from replications import progress
from replications.causal import cells as tables
from replications.causal import metrics
from replications.causal.cells import grid, single, windows
from replications.causal.patch import BUDGET, patch
from replications.causal.patching import Behaviour, Maps, PairBatch
from replications.causal.runs import ShareDone, run
from replications.causal.stack import Stack

RUNS = 0.05  # about what the two unpatched runs take of a map's time; only shown
KINDS = {"resid_post": 1, "mlp_out": 10, "attn_out": 10}  # sites of a causal trace and the width of their windows


@torch.inference_mode()
def patch_maps(hf_model: Any, batch: PairBatch, *, heads: bool, budget: int = BUDGET) -> Maps:
    """The same cells as `patching.patch_maps` (denoising), from the plain transformers model.

    ValueError for an encoder, which has no last position to ask.
    """
    stack = Stack(hf_model)
    if not stack.causal:
        raise ValueError(f"{stack.config.model_type}: an encoder is asked at a position of its own: use run and patch")
    every, parts = torch.arange(len(batch.answers), device=batch.answers.device), []
    with progress.step("patching", len(every)) as step:
        for part in map(batch.rows, every.split(_pairs(stack, batch, budget))):
            parts.append(_part(stack, part, batch.width, heads, budget, _counted(step, part)))
    clean, corrupted, resid, z = zip(*parts, strict=True)
    return Maps(torch.cat(clean), torch.cat(corrupted), torch.cat(resid, -1), torch.cat(z, -1) if heads else None)


@torch.inference_mode()
def behaviour(hf_model: Any, batch: PairBatch, *, budget: int = BUDGET) -> Behaviour:
    """The same as `patching.behaviour`, from the plain transformers model."""
    stack, parts = Stack(hf_model), []
    rows = torch.arange(len(batch.answers), device=batch.answers.device)
    with progress.step("asking", len(rows)) as step:
        for part in map(batch.rows, rows.split(_pairs(stack, batch, budget // 4))):
            both = (torch.cat([part.clean, part.corrupted]), torch.cat([part.clean_mask, part.corrupted_mask]))
            states = run(stack, *both, report=_counted(step, part)).answer_state
            clean, corrupted = stack.logits(states).chunk(2)
            right = clean.softmax(-1).gather(1, part.answers)[:, 0]
            parts.append((*(_difference(logits, part.answers) for logits in (clean, corrupted)), right))
    return Behaviour(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _counted(step: progress.Step, part: PairBatch) -> ShareDone:
    """Counts the pairs of a part as their shares of the work are done."""
    return lambda share: step.advance(share * len(part.answers))


def _difference(logits: Float[Tensor, "n vocab"], answers: Int[Tensor, "n 2"]) -> Float[Tensor, " n"]:
    right, wrong = logits.gather(1, answers).unbind(1)
    return right - wrong


def _pairs(stack: Stack, batch: PairBatch, budget: int) -> int:
    """How many pairs' two runs fit in half the budget."""
    kept = 4 * batch.width * (stack.n_layers + 1) * 4 * stack.d_model
    return max(1, budget // 2 // (2 * kept))


def _part(
    stack: Stack, batch: PairBatch, width: int, heads: bool, budget: int, report: ShareDone
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """The maps of some pairs; the batch may be narrower than `width`: its columns are the last ones."""
    n, sites = len(batch.answers), ("z",) if heads else ()
    both = (torch.cat([batch.clean, batch.corrupted]), torch.cat([batch.clean_mask, batch.corrupted_mask]))
    clean, corrupted = run(stack, *both, sites=sites, report=lambda share: report(RUNS * share)).halves()
    metric = metrics.logit_diff(batch.answers)
    rows = torch.arange(n, device=batch.answers.device)
    base = metric(stack, corrupted.answer_state, rows)
    resid = base.expand(stack.n_layers, width, -1).clone()
    every = grid("resid_pre", single(stack.n_layers), torch.arange(batch.width, device=rows.device), rows)
    wanted = batch.patchable[every.row, every.column].nonzero()[:, 0]
    cells = every[wanted]
    if heads:
        last = torch.tensor([batch.width - 1], device=rows.device)
        cells = cells + grid("z", single(stack.n_layers), last, rows, heads=range(stack.n_heads))
    values = patch(
        stack, corrupted, clean, cells, metric, budget=budget, report=lambda share: report((1 - RUNS) * share)
    )
    at = every[wanted]
    resid[at.start, at.column + width - batch.width, at.row] = values[: len(wanted)]
    z = values[len(wanted) :].view(stack.n_layers, stack.n_heads, n) if heads else None
    return metric(stack, clean.answer_state, rows), base, resid, z


@torch.inference_mode()
def causal_trace(
    stack: Stack,
    tokens: Int[Tensor, " T"],
    noise: Float[Tensor, "samples T d"],
    answer: int,
    *,
    kinds: Mapping[str, int] = KINDS,
    budget: int = BUDGET,
) -> dict[str, Float[Tensor, "layer T"] | Float[Tensor, ""]]:
    """P(answer) of the clean and the noised run (`clean`, `corrupted`) and of every cell by site, mean over samples.

    Meng et al. 2022, section 2: base is the noised run, source the clean one; a cell of layer l restores its site in
    the window around l, at one position. `resid_post` is their single state.
    """
    samples, width = noise.shape[:2]
    rows, columns = (torch.arange(k, device=tokens.device) for k in (samples, width))
    clean = run(stack, tokens[None], sites=[site for site in kinds if site in tables.SITES and site != "resid_pre"])
    noised = run(stack, tokens.expand(samples, -1), noise=noise)
    metric = metrics.probability(torch.tensor([answer], device=tokens.device).expand(samples))
    found = {name: metric(stack, r.answer_state, rows[: len(r)]).mean() for name, r in
             (("clean", clean), ("corrupted", noised))}  # fmt: skip
    for site, wide in kinds.items():
        layers = single(stack.n_layers) if wide == 1 else windows(stack.n_layers, wide)
        cells = grid(site, layers, columns, rows, sources=torch.zeros_like(rows))
        values = patch(stack, noised, clean, cells, metric, budget=budget)
        found[site] = values.view(stack.n_layers, width, samples).mean(-1)
    return found
