"""Causal tracing of one fact, and of one pair under two corruptions: probabilities of every restoration.

The corrupted run is the base, the clean run the source; a cell restores one site in some layers at one column
(Meng et al. 2022, section 2). Everything here returns restored values; effects are differences of their means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from replications.causal import metrics
from replications.causal.cells import grid, single, windows
from replications.causal.metrics import Metric
from replications.causal.patch import patch
from replications.causal.runs import RecordedRun, run
from replications.causal.stack import Stack
from replications.rome_tracing.stimuli import CLASSES, Pair, Traced

WIDTH = 10  # of the paper's windows
WIDTHS = (3, 5, 10)  # Zhang & Nanda's
SITES = ("mlp_out", "attn_out")
Ranges = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Restoration:
    """`site` restored in each of `ranges` (half-open layers) at each of `columns`; `held` is severed (see `patch`)."""

    site: str
    ranges: Ranges
    columns: Sequence[int]
    held: str | None = None


def sampled_layers(n_layers: int, n: int | None) -> list[int]:
    """n layers, evenly spaced with both ends, or all of them."""
    return sorted({round(float(x)) for x in np.linspace(0, n_layers - 1, min(n or n_layers, n_layers))})


def restore(
    stack: Stack, base: RecordedRun, source: RecordedRun, plan: Mapping[str, Restoration], metric: Metric
) -> dict[str, Float[Tensor, "range column ..."]]:
    """The metric of every cell, mean over the rows of `base`; `source` has one row."""
    rows = torch.arange(len(base), device=base.asked.device)
    found = {}
    for held in dict.fromkeys(step.held for step in plan.values()):
        some = {name: step for name, step in plan.items() if step.held == held}
        cells = {name: _cells(step, rows) for name, step in some.items()}
        values = patch(stack, base, source, reduce(add, cells.values()), metric, held=held)
        for (name, step), part in zip(some.items(), values.split([len(c) for c in cells.values()]), strict=True):
            shape = (len(step.ranges), len(step.columns), len(rows), *part.shape[1:])
            found[name] = part.reshape(shape).mean(dim=2)
    return found


def _cells(step: Restoration, rows: Tensor):
    columns = torch.tensor(step.columns, device=rows.device)
    return grid(step.site, step.ranges, columns, rows, sources=torch.zeros_like(rows))


def trace_plan(fact: Traced, n_layers: int, layers: Sequence[int]) -> dict[str, Restoration]:
    """Single states, windows by the published code's rule, and at the last subject token the variants.

    mlp_text: the paper's window, l - 4 .. l + 5. mlp_single, attn_single: one module, the latter at the last token,
    where attention's site is. severed_*: single states with these modules held (figure 3).
    """
    columns = [column for name in CLASSES for column in fact.columns[name]]
    subject, last = [fact.subject_last], [len(fact.known.encoded.ids) - 1]
    alone, code, text = (
        [ranges[layer] for layer in layers]
        for ranges in (single(n_layers), windows(n_layers, WIDTH), windows(n_layers, WIDTH, before=WIDTH // 2 - 1))
    )
    return {
        "state": Restoration("resid_post", alone, columns),
        "mlp": Restoration("mlp_out", code, columns),
        "attn": Restoration("attn_out", code, columns),
        "mlp_text": Restoration("mlp_out", text, subject),
        "mlp_single": Restoration("mlp_out", alone, subject),
        "attn_single": Restoration("attn_out", alone, last),
        "severed_mlp": Restoration("resid_post", alone, subject, held="mlp_out"),
        "severed_attn": Restoration("resid_post", alone, subject, held="attn_out"),
    }


@torch.inference_mode()
def trace(
    stack: Stack,
    fact: Traced,
    noise: Float[Tensor, "samples T d"],
    other_noise: Float[Tensor, "samples T d"],
    text_factor: float,
    layers: Sequence[int],
) -> dict[str, Tensor]:
    """P(answer), mean over noise samples, of the runs and of every restoration of `trace_plan`.

    `clean`, `corrupted`, and `corrupted_text` with the noise times `text_factor` are single numbers; state, mlp and
    attn are [layer, class], NaN where the prompt has no such token, a class's columns averaged; the others are [layer].
    `others_corrupted` and `others_mlp` [layer]: the same noise on other tokens, MLP windows restored at the last noised
    one; NaN when the prompt has none.
    """
    tokens = torch.tensor([fact.known.encoded.ids], device=noise.device)
    samples = tokens.expand(len(noise), -1)
    metric = metrics.probability(torch.full((len(noise),), fact.known.answer, device=noise.device))
    clean, base = run(stack, tokens, sites=SITES), run(stack, samples, noise=noise, sites=SITES)
    found = restore(stack, base, clean, trace_plan(fact, stack.n_layers, layers), metric)
    classes = {name: _by_class(found.pop(name), fact) for name in ("state", "mlp", "attn")}
    return {
        "clean": _mean(stack, clean, metric),
        "corrupted": _mean(stack, base, metric),
        "corrupted_text": _mean(stack, run(stack, samples, noise=text_factor * noise), metric),
        **classes,
        **{name: values[:, 0] for name, values in found.items()},
        **_others(stack, clean, samples, other_noise, fact.others, layers, metric),
    }


def _others(
    stack: Stack,
    clean: RecordedRun,
    samples: Tensor,
    noise: Tensor,
    columns: Sequence[int],
    layers: Sequence[int],
    metric: Metric,
) -> dict[str, Tensor]:
    """The control of the site: noise elsewhere, MLP windows restored at its last token."""
    if not columns:
        nothing = torch.full((len(layers),), torch.nan)
        return {"others_corrupted": nothing[0], "others_mlp": nothing}
    base = run(stack, samples, noise=noise)
    ranges = windows(stack.n_layers, WIDTH)
    plan = {"others_mlp": Restoration("mlp_out", [ranges[layer] for layer in layers], [columns[-1]])}
    values = restore(stack, base, clean, plan, metric)["others_mlp"]
    return {"others_corrupted": _mean(stack, base, metric), "others_mlp": values[:, 0]}


def _by_class(values: Float[Tensor, "layer column"], fact: Traced) -> Float[Tensor, "layer class"]:
    """Mean over each class's columns; NaN for a class without any."""
    parts = values.split([len(fact.columns[name]) for name in CLASSES], dim=1)
    return torch.stack([part.mean(dim=1) for part in parts], dim=1)


def _mean(stack: Stack, made: RecordedRun, metric: Metric) -> Tensor:
    """The metric of an unpatched run, mean over its rows."""
    return metric(stack, made.answer_state, torch.arange(len(made), device=made.asked.device)).mean(dim=0)


@torch.inference_mode()
def compare_corruptions(
    stack: Stack,
    pair: Pair,
    noise: Float[Tensor, "samples T d"],
    middle: Sequence[int],
    layers: Sequence[int],
) -> dict[str, Tensor]:
    """The same fact under Gaussian noise and under another subject's tokens (Zhang & Nanda 2023), both metrics.

    Metrics, last axis: P(answer), and its logit minus that of the other fact's answer. `clean` and `<c>.corrupted` are
    [metric]; `<c>.single` [all layers, metric] single MLPs at the last subject token; `<c>.w3` and so on
    [layer, last or middle subject token, metric] MLP windows, NaN without a `middle` column.
    """
    device, most = noise.device, max(len(noise), 1)
    tokens, other = (torch.tensor([ids], device=device) for ids in (pair.clean.encoded.ids, pair.corrupted))
    answers = torch.tensor([[pair.clean.answer, pair.other.answer]], device=device).expand(most, -1)
    metric = metrics.together(metrics.probability(answers[:, 0]), metrics.logit_diff(answers))
    clean = run(stack, tokens, sites=["mlp_out"])
    bases = {"noise": run(stack, tokens.expand(len(noise), -1), noise=noise), "replacement": run(stack, other)}
    plan = _windows_plan(pair.clean.subject[-1], middle, stack.n_layers, layers)
    found = {"clean": _mean(stack, clean, metric)}
    for name, base in bases.items():
        values = restore(stack, base, clean, plan, metric)
        found[f"{name}.corrupted"] = _mean(stack, base, metric)
        found[f"{name}.single"] = values.pop("single")[:, 0]
        found |= {f"{name}.{key}": _last_and_middle(value) for key, value in values.items()}
    return found


def _windows_plan(
    subject_last: int, middle: Sequence[int], n_layers: int, layers: Sequence[int]
) -> dict[str, Restoration]:
    plan = {"single": Restoration("mlp_out", single(n_layers), [subject_last])}
    for width in WIDTHS:
        ranges = windows(n_layers, width)
        plan[f"w{width}"] = Restoration("mlp_out", [ranges[layer] for layer in layers], [subject_last, *middle])
    return plan


def _last_and_middle(values: Float[Tensor, "layer column m"]) -> Float[Tensor, "layer 2 m"]:
    """Mean over the middle columns beside the last one; NaN for no middle."""
    return torch.stack([values[:, 0], values[:, 1:].mean(dim=1)], dim=1)
