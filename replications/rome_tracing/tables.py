"""Tidy frames: curves by layer with their intervals, and one fact's effects as rome_editing reads them. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from replications.evidence import stats
from replications.evidence.stats import Array
from replications.rome_tracing import corruption_effects
from replications.rome_tracing.corruption_effects import CORRUPTIONS, METRICS, WIDTHS
from replications.rome_tracing.effects import KINDS, SUBJECT_LAST, Layers, Sample, of_class, severed_effects
from replications.rome_tracing.stimuli import CLASSES


def aie(sample: Sample, layers: Layers) -> pd.DataFrame:
    """kind, token (class), layer, effect, ci_low, ci_high, n: what the heat maps show."""
    rows = []
    for kind in KINDS:
        for name in CLASSES:
            if found := of_class(sample, kind, name):
                some, restored = found
                rows += _curve(some, restored - some["corrupted"], layers, kind=kind, token=name)
    return pd.DataFrame(rows)


def severed(sample: Sample, layers: Layers) -> pd.DataFrame:
    """severed (intact, mlp, attn), layer, effect of a single state at the last subject token and its interval."""
    curves = severed_effects(sample).items()
    return pd.DataFrame([row for name, effect in curves for row in _curve(sample, effect, layers, severed=name)])


def corruptions(sample: Sample, layers: Layers) -> pd.DataFrame:
    """corruption, metric, width, layer, effect of MLP windows at the last subject token and its interval."""
    rows = []
    for corruption in CORRUPTIONS:
        for metric in METRICS:
            for width in WIDTHS:
                effect = corruption_effects.effect(sample, corruption, metric, width)
                rows += _curve(sample, effect, layers, corruption=corruption, metric=metric, width=width)
    return pd.DataFrame(rows)


def facts(ids: Sequence[str], sample: Sample, layers: Layers) -> pd.DataFrame:
    """fact, kind, layer, effect at the last subject token, total_effect; probabilities, one row per fact and cell."""
    rows: list[Mapping[str, Any]] = []
    total = sample["clean"] - sample["corrupted"]
    for i, fact in enumerate(ids):
        for kind in KINDS:
            effect = sample[kind][:, SUBJECT_LAST, i] - sample["corrupted"][i]
            rows += [
                {"fact": fact, "kind": kind, "layer": layer, "effect": value, "total_effect": total[i]}
                for layer, value in zip(layers.sampled, effect, strict=True)
            ]
    return pd.DataFrame(rows)


def _curve(sample: Sample, effect: Array, layers: Layers, **labels: Any) -> list[dict[str, Any]]:
    """One row per layer of the mean effect [layer, n]."""
    draws = sample.draws(effect)
    found = []
    for i, layer in enumerate(layers.sampled):
        leaf = stats.interval(draws[:, i], sample.n)
        found.append({**labels, "layer": layer, "effect": leaf["value"], "ci_low": leaf["ci_low"],
                      "ci_high": leaf["ci_high"], "n": sample.n})  # fmt: skip
    return found
