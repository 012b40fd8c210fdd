"""Findings -> the tree of Estimates that claims look at. Arrays in, numbers out; no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from replications.evidence import stats
from replications.evidence.stats import Array
from replications.ioi_circuit import attribution, classes
from replications.ioi_circuit.classes import CLASSES, Classes, Head, label
from replications.ioi_circuit.measure import Findings

NOTHING = stats.leaf(None, n=0)  # a number about heads of which there are none
MEMBERS = {  # class -> what its members are said to do, and where that is found
    "name_mover": {"attention_io": "END_IO"}, "negative_name_mover": {"attention_io": "END_IO"},
    "s_inhibition": {"attention_s2": "END_S2"}, "induction": {"score": "induction"},
    "duplicate_token": {"score": "duplicate"}, "previous_token": {"score": "previous"},
    "backup_name_mover": {"attention_io": "END_IO"},
}  # fmt: skip


def tree(found: Findings, members: Classes, resamples: int, seed: int, *, by_head: bool) -> dict[str, Any]:
    """All quantities, those of every single head `by_head` only: no claim asks them of a control.

    `members` are the trained model's classes: their scores are asked of the same heads here.
    """
    observed = found.observed.arrays
    weights = stats.resample_weights(len(found.prompts), resamples=resamples, seed=seed)
    return {
        "behaviour": behaviour(observed, weights),
        "by_order": _split(found, resamples, seed, lambda prompt: prompt.order),
        "by_template": _split(found, resamples, seed, lambda prompt: str(prompt.template)),
        "prefix": prefix(observed["logit_diff"][: len(found.prefixed)], found.prefixed, resamples, seed),
        "dla": dla(observed, weights, by_head),
        "lens": lens(observed, weights),
        "repeated": repeated(found.repeats, resamples, seed, by_head),
        "paths": {name: path(effects, found.circuit.clean) for name, effects in found.circuit.effects.items()},
        "classes": {name: of_class(found.circuit.classes[name], found.shape) for name in found.circuit.classes},
        "circuit": circuit(found.circuit.classes, found.shape),
        "members": {name: member_scores(found, name, members[name], weights, resamples, seed) for name in CLASSES},
        "average_head": average_head(found, resamples, seed),
    }


def behaviour(observed: Mapping[str, Array], weights: Array) -> dict[str, Any]:
    """Logit difference (nats), share of prompts with IO above S, P(IO)."""
    return {
        "logit_diff": stats.mean(observed["logit_diff"], weights),
        "logit_diff_sd": stats.leaf(float(observed["logit_diff"].std(ddof=1)), n=len(observed["logit_diff"])),
        "accuracy": stats.share(observed["logit_diff"] > 0),
        "p_io": stats.mean(observed["p_io"], weights),
    }


def prefix(plain: Array, prefixed: Array, resamples: int, seed: int) -> dict[str, Any]:
    """The same prompts without and with an unrelated sentence in front, and the ratio of the means (appendix A)."""
    weights = stats.resample_weights(len(plain), resamples=resamples, seed=seed)
    return {
        "plain": stats.mean(plain, weights),
        "logit_diff": stats.mean(prefixed, weights),
        "accuracy": stats.share(prefixed > 0),
        "ratio": stats.interval(stats.ratio_of_means(prefixed, plain, weights), len(plain)),
    }


def dla(observed: Mapping[str, Array], weights: Array, by_head: bool) -> dict[str, Any]:
    """Shares of the logit difference by layer and head (nats), and the heads at either end as parts of the whole."""
    heads, n = observed["heads"], len(observed["logit_diff"])
    names = [f"L{layer}H{head}" for layer, head in np.ndindex(heads.shape[:2])]
    draws = weights @ heads.reshape(-1, n).T
    parts = stats.ratio_of_means(heads.reshape(-1, n), observed["logit_diff"], weights)
    top, bottom = int(draws[0].argmax()), int(draws[0].argmin())
    return {
        "embed": stats.mean(observed["embed"], weights),
        "attn": by_layer(observed["attn"], weights),
        "mlp": by_layer(observed["mlp"], weights),
        "heads": {name: stats.interval(draws[:, i], n) for i, name in enumerate(names) if by_head},
        "top": stats.leaf(names[top], n=n),
        "bottom": stats.leaf(names[bottom], n=n),
        "top_share": stats.interval(parts[:, top], n),
        "bottom_share": stats.interval(parts[:, bottom], n),
    }


def lens(observed: Mapping[str, Array], weights: Array) -> dict[str, Any]:
    """Logit lens before each layer and after its attention; `half_depth` is where it first reaches half the end."""
    read = attribution.lens(observed)
    n, layers = len(observed["logit_diff"]), len(read["pre"])
    steps = np.stack([read["pre"], read["mid"]], axis=1).reshape(2 * layers, n)
    reached = weights @ steps.T >= (weights @ observed["logit_diff"])[:, None] / 2
    first = np.where(reached.any(1), reached.argmax(1), 2 * layers) / (2 * layers)
    return {name: by_layer(values, weights) for name, values in read.items()} | {
        "final": stats.mean(observed["logit_diff"], weights),
        "half_depth": stats.interval(first, n),
    }


def repeated(repeats: Mapping[str, Array], resamples: int, seed: int, by_head: bool) -> dict[str, Any]:
    """Scores of every head on random repeated tokens, and the largest of each kind."""
    found = {}
    for name, scores in repeats.items():
        weights = stats.resample_weights(scores.shape[-1], resamples=resamples, seed=seed)
        draws = weights @ scores.reshape(-1, scores.shape[-1]).T
        names = [f"L{layer}H{head}" for layer, head in np.ndindex(scores.shape[:2])]
        n = scores.shape[-1]
        found[name] = {head: stats.interval(draws[:, i], n) for i, head in enumerate(names) if by_head}
        found[f"{name}_max"] = stats.interval(draws[:, int(draws[0].argmax())], n)
    return found


def path(effects: Array, clean: Array) -> dict[str, Any]:
    """The strongest head of a map, its effect as a share of the logit difference, and how many heads stand out."""
    mean, _ = classes.moments(effects)
    layer, head = np.unravel_index(np.nanargmax(np.abs(mean)), mean.shape)
    strongest = int(layer), int(head)
    n = int(np.isfinite(effects[strongest]).sum())
    return {
        "strongest": stats.leaf(label(strongest), n=n),
        "strongest_effect": stats.leaf(float(mean[strongest] / clean.mean()), n=n),
        "lower": stats.leaf(int((classes.acts(effects, clean) < 0).sum()), n=int(np.isfinite(mean).sum())),
        "raise": stats.leaf(int((classes.acts(effects, clean) > 0).sum()), n=int(np.isfinite(mean).sum())),
    }


def of_class(heads: Sequence[Head], shape: tuple[int, int]) -> dict[str, Any]:
    """How many heads, which, and their mean layer as a share of the depth."""
    depth = np.mean([layer for layer, _ in heads]) / shape[0] if heads else None
    total = shape[0] * shape[1]
    return {
        "count": stats.leaf(len(heads), n=total),
        "heads": stats.leaf([label(head) for head in heads], n=total),
        "depth": stats.leaf(depth, n=len(heads)),
    }


def circuit(found: Classes, shape: tuple[int, int]) -> dict[str, Any]:
    """Size of the circuit: heads of all the paper's classes, their share of all heads, and classes that are there."""
    members, total = {head for name in CLASSES for head in found[name]}, shape[0] * shape[1]
    return {
        "heads": stats.leaf(len(members), n=total),
        "share": stats.leaf(len(members) / total, n=total),
        "classes": stats.leaf(sum(bool(found[name]) for name in CLASSES), n=len(CLASSES)),
    }


def member_scores(
    found: Findings, name: str, heads: Sequence[Head], weights: Array, resamples: int, seed: int
) -> dict[str, Any]:
    """What a class is said to do, as means over its heads."""
    scores = {key: _score(found, where, heads, weights, resamples, seed) for key, where in MEMBERS[name].items()}
    if "name_mover" in name:
        sign = 1 if name == "negative_name_mover" else 0
        copies = [found.copies[sign][head] for head in heads]
        scores["copy"] = _mean(np.mean(copies, 0), resamples, seed) if heads else NOTHING
        scores["copy_lowest"] = stats.leaf(float(min(row.mean() for row in copies)), n=len(heads)) if heads else NOTHING
        scores["correlation_lowest"] = correlation(found, heads, weights) if heads else NOTHING
    return scores


def correlation(found: Findings, heads: Sequence[Head], weights: Array) -> dict[str, Any]:
    """Correlation over prompts of attention to IO with the head's share of IO's logit; the least over the heads.

    For a head that writes against IO the sign is turned round by taking the largest, and then its negative.
    """
    look, write = found.observed.attention["END_IO"], found.observed.arrays["heads_io"]
    draws = np.stack([_correlations(look[head], write[head], weights) for head in heads], axis=1)
    against = draws[0].mean() < 0
    return stats.interval(-draws.max(1) if against else draws.min(1), weights.shape[1])


def average_head(found: Findings, resamples: int, seed: int) -> dict[str, Any]:
    """The copying scores of the average head, as a base line."""
    return {name: _mean(found.copies[sign].mean((0, 1)), resamples, seed) for sign, name in
            enumerate(("copy", "negative_copy"))}  # fmt: skip


def against_published(found: Classes, published: Mapping[str, Sequence[str]], n_heads: int) -> dict[str, Any]:
    """Precision, recall and overlap with the published sets, and what a random set of the same size would have."""
    return {
        name: {key: stats.leaf(None if np.isnan(value) else value, n=len(heads)) for key, value in
               classes.against_published([label(head) for head in found[name]], heads, n_heads).items()}
        for name, heads in published.items()
    }  # fmt: skip


def _split(found: Findings, resamples: int, seed: int, key: Any) -> dict[str, Any]:
    """Logit difference and accuracy of the prompts that share a key."""
    keys = np.array([key(prompt) for prompt in found.prompts])
    values = {name: found.observed.arrays["logit_diff"][keys == name] for name in dict.fromkeys(keys.tolist())}
    return {name: {"logit_diff": _mean(part, resamples, seed), "accuracy": stats.share(part > 0)}
            for name, part in values.items()}  # fmt: skip


def _score(
    found: Findings, where: str, heads: Sequence[Head], weights: Array, resamples: int, seed: int
) -> dict[str, Any]:
    if not heads:
        return NOTHING
    if where in found.repeats:
        return _mean(np.mean([found.repeats[where][head] for head in heads], 0), resamples, seed)
    return stats.mean(np.mean([found.observed.attention[where][head] for head in heads], 0), weights)


def _mean(values: Array, resamples: int, seed: int) -> dict[str, Any]:
    return stats.mean(values, stats.resample_weights(len(values), resamples=resamples, seed=seed))


def by_layer(values: Array, weights: Array) -> dict[str, Any]:
    """Means by layer of [layer, n]."""
    return {str(layer): stats.mean(row, weights) for layer, row in enumerate(values)}


def _correlations(x: Array, y: Array, weights: Array) -> Array:
    """Draws of the correlation of two arrays [n]; NaN becomes 0 where one of them does not vary."""
    (ex, ey, exx, eyy, exy) = (weights @ part for part in (x, y, x * x, y * y, x * y))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nan_to_num((exy - ex * ey) / np.sqrt((exx - ex**2) * (eyy - ey**2)))
