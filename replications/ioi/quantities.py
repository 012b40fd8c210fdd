"""Quantities of the IOI patching experiment, from one Result: arrays in, Estimates and tidy frames out.

Wang et al. 2022, section 2 (logit difference) and the article's two maps: residual stream by token and layer, head
outputs at the last token by layer and head. Logit differences are logit(IO) - logit(S) at the last token, in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from replications.causal import roles
from replications.causal.experiment import Result
from replications.causal.patching import PairBatch, batch_pairs
from replications.evidence import stats
from replications.evidence.stats import Array
from replications.ioi.stimuli import Prompt

ROLES = ("S2", "after_S2", "END")


def to_batch(prompts: Sequence[Prompt]) -> PairBatch:
    """All prompts as one left-padded batch."""
    return batch_pairs([p.clean.ids for p in prompts], [p.corrupted.ids for p in prompts], [p.answers for p in prompts])


def role_columns(prompts: Sequence[Prompt]) -> roles.Columns:
    """Columns of S2, of what stands between it and the last token, and of the last token, in the padded batch."""
    width = max(len(p.clean.ids) for p in prompts)
    s2 = [width - len(p.clean.ids) + p.s2 for p in prompts]
    return {
        "S2": [[column] for column in s2],
        "after_S2": [list(range(column + 1, width - 1)) for column in s2],
        "END": [[width - 1] for _ in prompts],
    }


def role_curves(result: Result, prompts: Sequence[Prompt], weights: Array) -> dict[str, tuple[Array, int]]:
    """Draws of the mean restoration per role over the grammar's measured prompts; the article's pair is row 0."""
    columns = {role: per_prompt[1:] for role, per_prompt in role_columns(prompts).items()}
    return roles.role_draws(result.cells.prompts(slice(1, None)), columns, weights)


def head_draws(result: Result, weights: Array) -> Array:
    """Draws [1 + resamples, layer, head] of the mean restoration by each head's output at the last token."""
    numerator, denominator = result.head_restoration
    return stats.ratio_of_means(numerator[..., 1:], denominator[1:], weights)


def quantities(result: Result, prompts: Sequence[Prompt], measured: Sequence[int], resamples: int, seed: int) -> dict:
    """The tree of Estimates of one model; row 0 of `prompts` is the article's pair, `measured` indexes the patched."""
    behaviour = {name: getattr(result.behaviour, name).cpu().numpy() for name in ("clean", "corrupted", "p_answer")}
    weights = stats.resample_weights(len(measured) - 1, resamples=resamples, seed=seed)
    curves = role_curves(result, [prompts[i] for i in measured], weights)
    s2, end = curves["S2"][0], curves["END"][0]
    n = len(measured) - 1
    return {
        "article": {
            "logit_diff_clean": stats.leaf(behaviour["clean"][0]),
            "logit_diff_corrupted": stats.leaf(behaviour["corrupted"][0]),
            "p_io": stats.leaf(behaviour["p_answer"][0]),
        },
        "prompts": _behaviour(behaviour, range(1, len(prompts)), resamples, seed),
        "by_order": _by_order(behaviour, prompts, resamples, seed),
        "roles": roles.role_quantities(curves),
        "curve": {role: roles.curve_leaves(*curves[role]) for role in ("S2", "END")},
        "handover": roles.handover(s2, end, n),
        **_head_quantities(head_draws(result, weights), n),
    }


def _behaviour(behaviour: dict[str, Array], rows: Sequence[int], resamples: int, seed: int) -> dict[str, Any]:
    rows = list(rows)
    weights = stats.resample_weights(len(rows), resamples=resamples, seed=seed)
    clean, corrupted = behaviour["clean"][rows], behaviour["corrupted"][rows]
    return {
        "logit_diff_clean": stats.mean(clean, weights),
        "logit_diff_corrupted": stats.mean(corrupted, weights),
        "total_effect": stats.mean(clean - corrupted, weights),
        "accuracy": stats.share(clean > 0),
        "p_io": stats.mean(behaviour["p_answer"][rows], weights),
    }


def _by_order(behaviour: dict[str, Array], prompts: Sequence[Prompt], resamples: int, seed: int) -> dict[str, Any]:
    rows = {order: [i for i, p in enumerate(prompts) if i and p.order == order] for order in ("ABBA", "BABA")}
    trees = {order: _behaviour(behaviour, index, resamples, seed) for order, index in rows.items()}
    return {
        order: {"logit_diff": tree["logit_diff_clean"], "accuracy": tree["accuracy"]} for order, tree in trees.items()
    }


def _head_quantities(draws: Array, n: int) -> dict[str, Any]:
    """Every head's mean restoration, the label of the strongest and weakest, and the share that pushes against."""
    layers, heads = draws.shape[1:]
    names = [f"L{layer}H{head}" for layer in range(layers) for head in range(heads)]
    flat = draws.reshape(len(draws), -1)
    return {
        "heads": {name: stats.interval(flat[:, i], n) for i, name in enumerate(names)},
        "heads_top": stats.leaf(names[int(flat[0].argmax())], n=n),
        "heads_bottom": stats.leaf(names[int(flat[0].argmin())], n=n),
        "heads_max": stats.interval(flat[:, flat[0].argmax()], n),
        "heads_min": stats.interval(flat[:, flat[0].argmin()], n),
        "heads_share": {"negative": stats.leaf(float(np.mean(np.quantile(flat[1:], 0.975, axis=0) < 0)), n=len(names))},
    }


def head_table(draws: Array, n: int) -> pd.DataFrame:
    """Tidy frame layer, head, restoration, ci_low, ci_high, n."""
    low, high = np.quantile(draws[1:], [0.025, 0.975], axis=0)
    layer, head = np.indices(draws.shape[1:])
    columns = {"layer": layer, "head": head, "restoration": draws[0], "ci_low": low, "ci_high": high}
    return pd.DataFrame({name: values.ravel() for name, values in columns.items()}).assign(n=n)


def article_head_table(result: Result) -> pd.DataFrame:
    """Tidy frame layer, head, restoration of the article's own pair, n = 1."""
    numerator, denominator = result.head_restoration
    grid = numerator[..., 0] / denominator[0]
    layer, head = np.indices(grid.shape)
    return pd.DataFrame({"layer": layer.ravel(), "head": head.ravel(), "restoration": grid.ravel(), "n": 1})


def prompt_table(result: Result, prompts: Sequence[Prompt], measured: Sequence[int]) -> pd.DataFrame:
    """One row per prompt: text, names, order, template, both logit differences, P(IO), whether it was patched."""
    clean, corrupted, p_io = (
        getattr(result.behaviour, name).cpu().numpy() for name in ("clean", "corrupted", "p_answer")
    )
    frame = pd.DataFrame(
        [{"prompt": p.clean.text, "io": p.io, "s": p.s, "order": p.order, "template": p.template} for p in prompts]
    )
    frame["logit_diff_clean"], frame["logit_diff_corrupted"], frame["p_io"] = clean, corrupted, p_io
    frame["patched"] = [i in set(measured) for i in range(len(prompts))]
    return frame
