"""One edit after another in the same weight, and what is left of the model: the decay that r-ROME is about.

Gupta et al., rebuilding-rome. The matrix that an edit meets already holds the edits before it, so the value it starts
from is read off the matrix of that moment; u and v* are those found on the unedited model (see the README).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from replications.evidence import stats
from replications.evidence.stats import Array
from replications.models.families import as_map
from replications.rome_editing.edits import multiplier
from replications.rome_editing.evaluate import RunningText, Sheet
from replications.rome_editing.projection import add_rank_one, restored
from replications.rome_editing.scores import per_fact
from replications.rome_editing.values import Values

DOUBLED = float(np.log(2))  # increase of -log P per token at which perplexity has doubled


@dataclass(frozen=True)
class Point:
    """After `edits` edits: |W' - W| / |W|, ES of each edit so far, -log P per token of each window of text."""

    edits: int
    norm: float
    es: Array
    nll: Array


def checkpoints(n: int) -> list[int]:
    """1, 2, 4 ... and n."""
    return sorted({min(2**i, n) for i in range(n.bit_length() + 1)})


def key_of(values: Values, variant: str) -> Float[Tensor, "n d_mlp"]:
    """The key in Λ: of the bare prompt in ROME as released, of the mean over contexts in r-ROME, as in u."""
    return values.bare_key if variant == "rome" else values.mean_key


@torch.no_grad()
def in_sequence(
    module: nn.Module, u: Float[Tensor, "n d_mlp"], values: Values, variant: str, sheet: Sheet, text: RunningText
) -> list[Point]:
    """Edit after edit in the order of the facts; the module has its own weight again afterwards."""
    weight, bias = _parameters(module)
    points: list[Point] = []
    key, before = key_of(values, variant), weight.detach().clone()
    wanted = checkpoints(len(u))
    with restored(module):
        for i in range(len(u)):
            value = key[i] @ as_map(module) + (0 if bias is None else bias)
            add_rank_one(module, u[i], multiplier(u[i], key[i], value, values.target[i]))
            if i + 1 in wanted:
                es = per_fact(sheet.answers_now()[: i + 1])["ES"]
                norm = ((weight - before).norm() / before.norm()).item()
                points.append(Point(i + 1, norm, es, text.nll(now=True)[0]))
    return points


def _parameters(module: nn.Module) -> tuple[Any, Any]:
    """Weight and bias, which torch's types let be modules."""
    return module.weight, module.bias


def paired(rome: Sequence[Point], r_rome: Sequence[Point], resamples: int, seed: int) -> dict[str, Any]:
    """How much more -log P per token of text ROME's sequence costs than r-ROME's, over the same windows."""
    more = rome[-1].nll - r_rome[-1].nll
    return stats.mean(more, stats.resample_weights(len(more), resamples=resamples, seed=seed))


def quantities(points: Sequence[Point], unedited: Array, resamples: int, seed: int) -> dict[str, Any]:
    """Of the last point: ES over all edits, increase of -log P per token over windows of text, relative norm."""
    end = points[-1]
    weights = stats.resample_weights(len(unedited), resamples=resamples, seed=seed)
    return {
        "ES": stats.share(end.es > 0.5),
        "nll_increase": stats.mean(end.nll - unedited, weights),
        "norm": stats.leaf(end.norm, n=end.edits),
    }


def single_quantities(nll: Array, unedited: Array, norms: Array, weights: Array) -> dict[str, Any]:
    """Over edits one at a time: increase of -log P per token of text, share that doubles perplexity, relative norm."""
    increase = (nll - unedited).mean(axis=1)
    return {
        "nll_increase": stats.mean(increase, weights),
        "nll_increase_max": stats.leaf(float(increase.max()), n=len(increase)),
        "disabled": stats.share(increase > DOUBLED),
        "norm": stats.mean(norms, weights),
        "norm_max": stats.leaf(float(norms.max()), n=len(norms)),
    }


def table(points: Mapping[str, Sequence[Point]], unedited: Array) -> list[dict[str, Any]]:
    """Rows variant, edits, ES, nll_increase, norm."""
    return [
        {"variant": variant, "edits": p.edits, "ES": float(p.es.mean()),
         "nll_increase": float((p.nll - unedited).mean()), "norm": p.norm}
        for variant, some in points.items() for p in some
    ]  # fmt: skip
