"""From traces to quantities: indirect effects by token class, layer and kind. Arrays in, Estimates out; no torch.

An effect is a restored value minus the corrupted one, and its mean over facts the average indirect effect (AIE) of
Meng et al. 2022, section 2. Intervals resample facts; a peak's interval is that of its effect at the layer where the
whole sample peaks, and its layer has an interval of its own. Depth is layer / number of layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from replications.evidence import stats
from replications.evidence.stats import Array
from replications.rome_tracing.stimuli import CLASSES, MIN_FACTS

SIGMAS = 3  # of the noise, in standard deviations of the word embeddings
KINDS = ("state", "mlp", "attn")
SUBJECT_LAST = CLASSES.index("subject_last")


@dataclass(frozen=True)
class Layers:
    """The layers at which restorations were centred, of a model that has `total`."""

    sampled: Sequence[int]
    total: int

    @property
    def early(self) -> list[bool]:
        """Which of them lie in the first third of the model."""
        return [layer < self.total / 3 for layer in self.sampled]


@dataclass(frozen=True)
class Sample:
    """n facts' values, last axis n, and the weights [1 + resamples, n] that resample them; row 0 is the sample."""

    values: Mapping[str, Array]
    weights: Array

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], *, resamples: int, seed: int) -> Sample:
        """Facts' tensors side by side, in double precision."""
        values = {name: np.stack([np.asarray(row[name], dtype=float) for row in rows], axis=-1) for name in rows[0]}
        return cls(values, stats.resample_weights(len(rows), resamples=resamples, seed=seed))

    def __getitem__(self, name: str) -> Array:
        return self.values[name]

    @property
    def n(self) -> int:
        """How many facts."""
        return self.weights.shape[1]

    def where(self, mask: Array) -> Sample | None:
        """The facts of the mask; None when there are fewer than five. A resample that misses them all is left out."""
        if mask.sum() < MIN_FACTS:
            return None
        weights = self.weights[:, mask]
        weights = weights[weights.sum(axis=1) > 0]
        return Sample({k: v[..., mask] for k, v in self.values.items()}, weights / weights.sum(axis=1, keepdims=True))

    def draws(self, values: Array) -> Array:
        """Means [1 + resamples, ...] of values [..., n]."""
        return (self.weights @ values.reshape(-1, self.n).T).reshape(-1, *values.shape[:-1])

    def mean(self, values: Array) -> dict[str, Any]:
        """Estimate of the mean of values [n]."""
        return stats.interval(self.draws(values), self.n)

    def ratio(self, numerator: Array, denominator: Array) -> dict[str, Any]:
        """Estimate of a ratio of means. Resamples in which the denominator vanishes are left out."""
        with np.errstate(divide="ignore", invalid="ignore"):
            draws = self.draws(numerator) / self.draws(denominator)
        if not np.isfinite(draws[0]):
            return stats.leaf(None, n=self.n)
        return stats.interval(draws[np.isfinite(draws)], self.n)

    def peak(self, effect: Array, layers: Layers) -> tuple[int, dict[str, Any]]:
        """Index into the sampled layers of the largest mean effect [layer, n], and Estimates of it."""
        draws = self.draws(effect)
        best, at = int(draws[0].argmax()), np.asarray(layers.sampled, dtype=float)[draws.argmax(axis=1)]
        return best, {
            "aie": stats.interval(draws[:, best], self.n),
            "layer": stats.interval(at, self.n),
            "depth": stats.interval(at / layers.total, self.n),
        }


def quantities(sample: Sample, layers: Layers, scales: Mapping[str, float]) -> dict[str, Any]:
    """The tree of one list of facts on one model: runs, noise, and every kind of restoration."""
    total = sample["clean"] - sample["corrupted"]
    return {
        "clean_p": sample.mean(sample["clean"]),
        "corrupted_p": sample.mean(sample["corrupted"]),
        "corrupted_share": sample.ratio(sample["corrupted"], sample["clean"]),
        "total_effect": sample.mean(total),
        "noise": {rule: _noise(sample, rule, scale) for rule, scale in scales.items()},
        **{kind: _by_class(sample, kind, layers) for kind in KINDS},
        **_variants(sample, layers),
        "severed": severed(sample, layers),
        **_others(sample, layers),
    }


def _noise(sample: Sample, rule: str, scale: float) -> dict[str, Any]:
    corrupted = sample["corrupted" if rule == "subjects" else f"corrupted_{rule}"]
    return {
        "sigma": stats.leaf(scale / SIGMAS),
        "scale": stats.leaf(scale),
        "total_effect": sample.mean(sample["clean"] - corrupted),
    }


def of_class(sample: Sample, kind: str, name: str) -> tuple[Sample, Array] | None:
    """The facts that have a token class and their restored values [layer, n]; None when fewer than five have."""
    some = sample.where(~np.isnan(sample[kind][0, CLASSES.index(name)]))
    return None if some is None else (some, some[kind][:, CLASSES.index(name)])


def _by_class(sample: Sample, kind: str, layers: Layers) -> dict[str, Any]:
    """Per class the peak AIE, where it lies, its share of the total effect, and both orders of mean and maximum.

    `restored_p` is the largest mean of restored probabilities, `max_restored_p` the mean of each fact's largest.
    """
    tree: dict[str, dict[str, Any]] = {}
    for name in CLASSES:
        if (found := of_class(sample, kind, name)) is None:
            continue
        some, restored = found
        best, estimates = some.peak(restored - some["corrupted"], layers)
        estimates["share"] = some.ratio(restored[best] - some["corrupted"], some["clean"] - some["corrupted"])
        estimates["restored_p"] = some.mean(restored[best])
        estimates["max_restored_p"] = some.mean(restored.max(axis=0))
        for part, estimate in estimates.items():
            tree.setdefault(part, {})[name] = estimate
    return tree


def _variants(sample: Sample, layers: Layers) -> dict[str, Any]:
    """`mlp_text`, the paper's window; `single`, one module, and as a share of the window's effect at its peak.

    Single attention modules are restored at the last token, where attention's windows have their site.
    """
    tree: dict[str, Any] = {"mlp_text": sample.peak(sample["mlp_text"] - sample["corrupted"], layers)[1], "single": {}}
    for kind, name in (("mlp", "subject_last"), ("attn", "last")):
        if (found := of_class(sample, kind, name)) is None:
            continue
        some, window = found
        alone = some[f"{kind}_single"] - some["corrupted"]
        best, estimates = some.peak(alone, layers)
        widest, _ = some.peak(window - some["corrupted"], layers)
        estimates["of_window"] = some.ratio(alone[best], window[widest] - some["corrupted"])
        tree["single"][kind] = estimates
    return tree


def severed_effects(sample: Sample) -> dict[str, Array]:
    """Effects [layer, n] of single states at the last subject token: intact, and with one kind of module held."""
    curves = {
        "intact": sample["state"][:, SUBJECT_LAST],
        "mlp": sample["severed_mlp"],
        "attn": sample["severed_attn"],
    }
    return {name: restored - sample["corrupted"] for name, restored in curves.items()}


def severed(sample: Sample, layers: Layers) -> dict[str, Any]:
    """Mean effect over the first third of the layers and over the others, and how much of it severing takes away."""
    effects, early = severed_effects(sample), np.asarray(layers.early)
    parts = {"early": early, "later": ~early}
    tree = {
        name: {when: sample.mean(effect[mask].mean(axis=0)) for when, mask in parts.items()}
        for name, effect in effects.items()
    }
    lost = {name: effects["intact"] - effects[name] for name in ("mlp", "attn")}
    tree["lost"] = {
        name: {when: sample.mean(loss[mask].mean(axis=0)) for when, mask in parts.items()}
        for name, loss in lost.items()
    }
    intact = effects["intact"][early].mean(axis=0)
    tree["lost_share"] = {name: sample.ratio(loss[early].mean(axis=0), intact) for name, loss in lost.items()}
    return tree


def _others(sample: Sample, layers: Layers) -> dict[str, Any]:
    """The site's control: as many other tokens noised; total effects of both corruptions on the same facts."""
    some = sample.where(~np.isnan(sample["others_corrupted"]))
    if some is None:
        return {}
    total = some["clean"] - some["others_corrupted"]
    best, estimates = some.peak(some["others_mlp"] - some["others_corrupted"], layers)
    share = some.ratio(some["others_mlp"][best] - some["others_corrupted"], total)
    subject = some.mean(some["clean"] - some["corrupted"])
    return {"other_tokens": {"total_effect": some.mean(total), "subject": subject, "mlp": estimates | {"share": share}}}
