"""Noise against replacement, and windows against the sum of their layers (Zhang & Nanda 2023). No torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from replications.evidence.stats import Array
from replications.rome_tracing.effects import Layers, Sample

CORRUPTIONS, METRICS, WIDTHS = ("noise", "replacement"), ("p", "logit_diff"), (3, 5, 10)
LAST, MIDDLE = 0, 1


def effect(sample: Sample, corruption: str, metric: str, width: int, token: int = LAST) -> Array:
    """Effects [layer, n] of MLP windows at the last or the middle subject token."""
    m = METRICS.index(metric)
    return sample[f"{corruption}.w{width}"][:, token, m] - sample[f"{corruption}.corrupted"][m]


def quantities(sample: Sample, layers: Layers) -> dict[str, Any]:
    """The tree of one list of pairs on one model, by corruption, metric and width of the window."""
    tree: dict[str, Any] = {
        "clean": {metric: sample.mean(sample["clean"][m]) for m, metric in enumerate(METRICS)},
        "noise_over_replacement": {
            metric: {f"w{width}": _noise_over_replacement(sample, metric, width) for width in WIDTHS}
            for metric in METRICS
        },
    }
    for corruption in CORRUPTIONS:
        tree[corruption] = {metric: _one_metric(sample, corruption, metric, layers) for metric in METRICS}
    return tree


def _one_metric(sample: Sample, corruption: str, metric: str, layers: Layers) -> dict[str, Any]:
    m = METRICS.index(metric)
    total = sample["clean"][m] - sample[f"{corruption}.corrupted"][m]
    windows = {f"w{width}": _one_width(sample, corruption, metric, width, layers) for width in WIDTHS}
    return {"total_effect": sample.mean(total)} | windows


def _one_width(sample: Sample, corruption: str, metric: str, width: int, layers: Layers) -> dict[str, Any]:
    """The peak at the last subject token; there, the window's effect over the sum of its layers' and minus it."""
    joint = effect(sample, corruption, metric, width)
    best, estimates = sample.peak(joint, layers)
    apart = _summed(sample, corruption, metric, width, layers.sampled[best])
    estimates["joint_over_sum"] = sample.ratio(joint[best], apart)
    estimates["excess"] = sample.mean(joint[best] - apart)
    return estimates | _last_over_middle(sample, corruption, metric, width)


def _summed(sample: Sample, corruption: str, metric: str, width: int, centre: int) -> Array:
    """Sum [n] of the effects of a window's layers, one restored at a time."""
    m = METRICS.index(metric)
    alone = sample[f"{corruption}.single"][:, m] - sample[f"{corruption}.corrupted"][m]
    start = centre - width // 2
    return alone[max(0, start) : start + width].sum(axis=0)


def _peak_effect(sample: Sample, corruption: str, metric: str, width: int, token: int = LAST) -> Array:
    """Effects [n] at the layer where their mean peaks."""
    effects = effect(sample, corruption, metric, width, token)
    return effects[sample.draws(effects)[0].argmax()]


def _last_over_middle(sample: Sample, corruption: str, metric: str, width: int) -> dict[str, Any]:
    """Ratio of the peaks at the last and the middle subject tokens, over the pairs that have a middle."""
    some = sample.where(~np.isnan(effect(sample, corruption, metric, width, MIDDLE)[0]))
    if some is None:
        return {}
    last, middle = (_peak_effect(some, corruption, metric, width, token) for token in (LAST, MIDDLE))
    return {"last_over_middle": some.ratio(last, middle)}


def _noise_over_replacement(sample: Sample, metric: str, width: int) -> dict[str, Any]:
    return sample.ratio(*(_peak_effect(sample, corruption, metric, width) for corruption in CORRUPTIONS))
