"""From counts per test sentence to the paper's quantities, each with an interval over test sentences and seeds.

A draw resamples the sentences of every task and the seeds, and computes everything anew: the F1 of each depth, the mean
over seeds, and from that curve the expected layer and the order of tasks. Where not every depth has a probe, the score
is taken to rise evenly from one that has to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from replications.edge_probing.probe import Probe
from replications.evidence import stats
from replications.evidence.stats import Array
from replications.probing import series

# Tasks by expected layer, Tenney et al. 2019: BERT-large (figure 1), BERT-base (from their notebook). SPR2 stands
# for SPR1, which is annotated on the Penn Treebank.
PUBLISHED = {
    "large": ("pos", "consts", "entities", "deps", "srl", "relations", "coref", "spr2"),
    "base": ("pos", "consts", "entities", "deps", "srl", "coref", "relations", "spr2"),
}
GROUPS = {"syntax": ("pos", "consts", "deps"), "semantics": ("entities", "srl", "coref", "spr2", "relations")}
THIRD = 1 / 3
FEWEST_TASKS = 3  # with fewer there is no order to speak of


@dataclass(frozen=True)
class Outcome:
    """What one task's probes did on the test sentences."""

    probes: Sequence[Probe]
    counts: Array  # [3, P, sentences] true positives, false positives, false negatives
    mix: Array  # [P, K] scalar-mix weights, 0 for layers that a probe does not see
    majority: Array  # [3, sentences] the same counts for the training split's most frequent label
    layers: int  # L + 1

    @property
    def sentences(self) -> int:
        """How many test sentences."""
        return self.counts.shape[-1]

    def depths(self, source: int) -> list[int]:
        """Depths that have a probe, in order."""
        return sorted({probe.depth for probe in self.probes if (probe.source, probe.shuffled) == (source, False)})

    def rows(self, source: int, shuffled: bool = False) -> list[list[int]]:
        """Per seed the numbers of its probes, by depth."""
        chosen = [
            (p.seed, p.depth, i) for i, p in enumerate(self.probes) if (p.source, p.shuffled) == (source, shuffled)
        ]
        seeds = sorted({seed for seed, _, _ in chosen})
        return [[i for _, _, i in sorted(c for c in chosen if c[0] == seed)] for seed in seeds]


@dataclass(frozen=True)
class Draws:
    """One task of one source, [1 + resamples, ...]; row 0 is the sample itself."""

    curve: Array  # [.., L+1] F1 in percent at each depth, mean over seeds
    mix: Array  # [.., L+1] scalar-mix weights of the full-depth probe, mean over seeds
    depths: Sequence[int]  # those that have a probe; the curve is straight in between
    sentences: int
    seeds: int

    @property
    def scores(self) -> Array:
        """[.., depths] F1 where there is a probe."""
        return self.curve[:, self.depths]

    @property
    def gain(self) -> Array:
        """[..] F1 points from layer 0 to all layers."""
        return self.curve[:, -1] - self.curve[:, 0]

    @property
    def defined(self) -> bool:
        """Whether the total gain is above 0 with its whole interval: only then can it be divided by."""
        gain = stats.interval(self.gain, self.sentences)
        return gain["value"] > 0 and gain["ci_low"] > 0

    @property
    def depth(self) -> Array:
        """Expected layer as a share of the depth."""
        return series.expected_layer(self.curve) / (self.curve.shape[-1] - 1)


def draws(outcome: Outcome, source: int, *, resamples: int, seed: int) -> Draws:
    """Resampled curves and mixing weights of the trained model (source 0) or of its twin (source 1)."""
    rows, depths = np.array(outcome.rows(source)), outcome.depths(source)  # [seeds, depths]
    chance = stats.resample_weights(len(rows), resamples=resamples, seed=seed + 1)
    scores = _resampled(outcome.counts[:, rows.ravel()], resamples, seed).reshape(-1, *rows.shape)
    first = source * outcome.layers
    mix = outcome.mix[rows[:, -1], first : first + outcome.layers]
    straight = np.stack([np.interp(range(outcome.layers), depths, one) for one in np.eye(len(depths))])  # [depths, L+1]
    curve = np.einsum("rs,rsd->rd", chance, scores) @ straight
    return Draws(curve, chance @ mix, depths, outcome.sentences, len(rows))


def quantities(outcomes: Mapping[str, Outcome], source: int, *, resamples: int, seed: int) -> dict[str, Any]:
    """The tree of Estimates of one source: quantity, then task."""
    drawn = {task: draws(outcome, source, resamples=resamples, seed=seed + 10 * number)
             for number, (task, outcome) in enumerate(sorted(outcomes.items()))}  # fmt: skip
    by_task = {task: _task(each) for task, each in drawn.items()}
    tree: dict[str, Any] = {}
    for task, leaves in by_task.items():
        for name, leaf in leaves.items():
            tree.setdefault(name, {})[task] = leaf
    if source == 0:
        for task, outcome in outcomes.items():
            for name, leaf in _baselines(outcome, resamples, seed).items():
                tree.setdefault(name, {})[task] = leaf
    return tree | _across(drawn)


def undefined(outcomes: Mapping[str, Outcome], source: int, *, resamples: int, seed: int) -> list[str]:
    """Tasks whose total gain cannot be told from nothing, so that they have no expected layer."""
    return [task for number, (task, outcome) in enumerate(sorted(outcomes.items()))
            if not draws(outcome, source, resamples=resamples, seed=seed + 10 * number).defined]  # fmt: skip


def kendall(values: Array, order: Array) -> Array:
    """Kendall's tau between values [..., tasks] and ranks [tasks]; ties count as neither."""
    pairs = [(i, j) for i in range(len(order)) for j in range(i)]
    agree = [np.sign(values[..., i] - values[..., j]) * np.sign(order[i] - order[j]) for i, j in pairs]
    return np.mean(agree, axis=0)


def table(outcomes: Mapping[str, Outcome], source: int, *, resamples: int, seed: int) -> pd.DataFrame:
    """Tidy frame task, layer, f1, ci_low, ci_high, delta (since the probe before), mix, n (test sentences), seeds.

    Layers without a probe of their own have only their weight in the mix of the full-depth probe.
    """
    rows = []
    for number, (task, outcome) in enumerate(sorted(outcomes.items())):
        each = draws(outcome, source, resamples=resamples, seed=seed + 10 * number)
        low, high = np.quantile(each.scores[1:], [0.025, 0.975], axis=0)
        delta = np.concatenate([[np.nan], series.gains(each.scores[0])])
        columns = {"f1": each.scores[0], "ci_low": low, "ci_high": high, "delta": delta}
        frame = pd.DataFrame(columns, index=each.depths).reindex(range(outcome.layers))
        frame = frame.assign(mix=each.mix[0], n=each.sentences, seeds=each.seeds, task=task, layer=frame.index)
        rows.append(frame[["task", "layer", *columns, "mix", "n", "seeds"]])
    return pd.concat(rows)


def _task(drawn: Draws) -> dict[str, Any]:
    n, last = drawn.sentences, drawn.curve.shape[-1] - 1
    delta = series.gains(drawn.scores)
    return {
        "f1_layer0": stats.interval(drawn.curve[:, 0], n),
        "f1_full": stats.interval(drawn.curve[:, -1], n),
        "gain": stats.interval(drawn.gain, n),
        "layer0_share": stats.interval(drawn.curve[:, 0] / np.maximum(drawn.curve[:, -1], 1e-9), n),
        "expected_layer": _when(drawn.defined, series.expected_layer(drawn.curve), n),
        "expected_depth": _when(drawn.defined, drawn.depth, n),
        "k_delta": _when(drawn.defined, series.gain_bits(drawn.curve), n),
        "first_third": _when(drawn.defined, series.share_of_gain(drawn.curve, THIRD), n),
        "center_of_gravity": stats.interval(series.center_of_gravity(drawn.mix), drawn.seeds),
        "center_depth": stats.interval(series.center_of_gravity(drawn.mix) / last, drawn.seeds),
        "k_s": stats.interval(series.mix_bits(drawn.mix), drawn.seeds),
        "curve": {str(layer): stats.interval(drawn.curve[:, layer], n) for layer in drawn.depths},
        "delta": {str(layer): stats.interval(gain, n) for layer, gain in zip(drawn.depths[1:], delta.T, strict=True)},
        "mix": {str(layer): stats.interval(drawn.mix[:, layer], drawn.seeds) for layer in range(last + 1)},
    }


def _baselines(outcome: Outcome, resamples: int, seed: int) -> dict[str, Any]:
    """What needs no model: shuffled labels at full depth, and always the most frequent label."""
    dealt = [rows[-1] for rows in outcome.rows(0, shuffled=True)]
    scores = {"shuffled": outcome.counts[:, dealt[:1]], "majority": outcome.majority[:, None]}
    return {name: stats.interval(_resampled(counts, resamples, seed)[:, 0], outcome.sentences)
            for name, counts in scores.items() if counts.shape[1]}  # fmt: skip


def _across(drawn: Mapping[str, Draws]) -> dict[str, Any]:
    """Orders and groups of those tasks that have an expected layer."""
    depth = {task: each.depth for task, each in drawn.items() if each.defined}
    order = {name: _order(depth, tasks) for name, tasks in PUBLISHED.items()}
    ranked = sorted(depth, key=lambda task: depth[task][0])
    groups = {name: [task for task in tasks if task in depth] for name, tasks in GROUPS.items()}
    means = {name: np.mean([depth[task] for task in tasks], axis=0) for name, tasks in groups.items() if tasks}
    thirds = [series.share_of_gain(drawn[task].curve, THIRD) for task in groups["syntax"]]
    both = len(means) == len(GROUPS)
    n = len(depth)
    return {
        "order": {"by_expected_layer": stats.leaf(ranked or None, n=n)}
        | {f"tau_{k}": leaf for k, leaf in order.items()},
        "groups": {
            **{name: {"expected_depth": _when(name in means, means.get(name), len(groups[name]))} for name in GROUPS},
            "semantics_minus_syntax": _when(both, means["semantics"] - means["syntax"] if both else None, n),
            "syntax_first_third": _when(bool(thirds), np.mean(thirds, axis=0) if thirds else None, len(thirds)),
        },
    }


def _order(depth: Mapping[str, Array], published: Sequence[str]) -> dict[str, Any]:
    """Kendall's tau between the tasks' expected layers and a published order; n is the number of tasks."""
    tasks = [task for task in published if task in depth]
    enough = len(tasks) >= FEWEST_TASKS
    ranks = np.arange(len(tasks), dtype=np.float64)
    return _when(enough, kendall(np.stack([depth[t] for t in tasks], axis=-1), ranks) if enough else None, len(tasks))


def _resampled(counts: Array, resamples: int, seed: int) -> Array:
    """F1 draws [1 + resamples, probes] of counts [3, probes, sentences]."""
    weights = stats.resample_weights(counts.shape[-1], resamples=resamples, seed=seed)
    return series.f1(np.einsum("rn,cpn->crp", weights, counts, optimize=True))


def _when(defined: bool, values: Array | None, n: int) -> dict[str, Any]:
    """An interval over the resamples in which something is gained; without any gain there is nothing to divide by."""
    if not defined or values is None:
        return stats.leaf(None, n=n)
    return stats.interval(values[np.isfinite(values)], n)
