"""From what was found to the tree of Estimates and the tables of the room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from replications.evidence import stats
from replications.sae_features import contexts, splitting, units
from replications.sae_features.measure import MEMBER, PROXY, AtSite, Found
from replications.sae_features.sample import Sample
from replications.sae_features.specificity import METRICS, Draw, average, share
from replications.sae_features.splitting import Split

LIKE_A_NEURON = 0.3  # correlation (Templeton et al. 2024)
EXAMPLE_OF = ("standard", "batch_topk", "topk")  # whose example is shown
SPLITTING = ["kind", "neuron", "example", "top_contexts", "features", "owned", "meanings", "accounted",
             "neuron_selectivity", "feature_selectivity", "neuron_contexts", "feature_contexts"]  # fmt: skip
Draws = Mapping[str, int]


def tree(found: Mapping[str, AtSite], sample: Sample, draws: Draws) -> dict[str, Any]:
    """`<site>.<kind>.<class>.<metric>`, `<site>.<kind>.{classes, contexts, splitting, best_neuron}`, `prevalence`.

    `<site>.<kind>.member` has the same of the units that were chosen by membership instead of the proxy.
    """
    whole: dict[str, Any] = {name: {kind: of_kind(at, kind, sample, draws) for kind in at.found}
                             for name, at in found.items()}  # fmt: skip
    return whole | {"prevalence": prevalence(sample, draws)}


def prevalence(sample: Sample, draws: Draws) -> dict[str, Any]:
    """Share of held-out tokens in each class: what a unit that answers to everything would be right by."""
    inside = sample.measured_on.inside
    weights = stats.resample_weights(len(inside), **draws)
    every = np.ones(inside.shape[:2], dtype=bool)
    return {name: share(every, inside[..., c], weights).leaf() for c, name in enumerate(sample.classes)}


def of_kind(at: AtSite, kind: str, sample: Sample, draws: Draws) -> dict[str, Any]:
    """One kind of units at a hook point."""
    found = at.found[kind]
    whole = _of_target(at, kind, PROXY, sample) | {MEMBER: _of_target(at, kind, MEMBER, sample)}
    whole["contexts"] = contexts.summary(found.answers, **draws)
    if found.splits is not None:
        whole["splitting"] = _splitting(at, kind, sample, draws)
    if found.best_neuron is not None:
        living = found.best_neuron[found.answers.living]
        below = stats.share((living <= LIKE_A_NEURON).tolist()) if len(living) else stats.leaf(None, n=0)
        whole["best_neuron"] = {"unlike": below}
    return whole


def _of_target(at: AtSite, kind: str, target: str, sample: Sample) -> dict[str, Any]:
    """The units chosen to follow a target, by class and over all classes."""
    found = at.found[kind]
    by_class = [_of_class(at, kind, target, c) for c in range(len(sample.classes))]
    whole = {
        name: {"unit": stats.leaf(found.label(unit))} | {metric: each.leaf() for metric, each in parts.items()}
        for name, unit, parts in zip(sample.classes, found.chosen[target].unit, by_class, strict=True)
    }
    return whole | {"classes": _of_all_classes(by_class)}


def _of_class(at: AtSite, kind: str, target: str, c: int) -> dict[str, Draw]:
    """Metrics of the unit chosen for a class; of a dictionary's also what it is better by."""
    own = at.found[kind].specific[target][c]
    parts = dict(own)
    if kind not in (at.basis, units.RANDOM):
        for rival in (at.basis, units.RANDOM):
            theirs = at.found[rival].specific[target][c]
            parts[f"over_{rival}"] = own["correlation"] - theirs["correlation"]
            parts[f"purer_than_{rival}"] = own["share_strong"] - theirs["share_strong"]
        if at.found[kind].seeds and target == PROXY:
            parts["across_seeds"] = at.found[kind].seeds[c]
    return parts


def _of_all_classes(by_class: list[dict[str, Draw]]) -> dict[str, Any]:
    """Means over classes, and the share of them in which the feature has the larger correlation."""
    means = {metric: average([each[metric] for each in by_class]).leaf() for metric in by_class[0]}
    rivals = [metric for metric in by_class[0] if metric.startswith("over_")]
    return means | {
        metric.replace("over_", "wins_over_"): stats.share([bool(each[metric].draws[0] > 0) for each in by_class])
        for metric in rivals
    }


def _splitting(at: AtSite, kind: str, sample: Sample, draws: Draws) -> dict[str, Any]:
    found, basis = at.found[kind], at.found[at.basis]
    splits = found.splits or []
    whole = splitting.summary(splits, basis.answers, found.answers, **draws)
    if kind != units.RANDOM:
        chance = at.found[units.RANDOM]
        by_chance = chance.splits or []
        gains = (np.array([splitting.gain(part, basis.answers, found.answers) for part in splits]),
                 np.array([splitting.gain(part, basis.answers, chance.answers) for part in by_chance]))  # fmt: skip
        whole["over_random"] = splitting.paired(splits, by_chance, gains, **draws)
    if found.example is not None:
        whole["example"] = _example(found, basis, found.example, sample)
    return whole


def _example(found: Found, basis: Found, part: Split, sample: Sample) -> dict[str, Any]:
    own = list(part.features)
    return {
        "neuron": stats.leaf(basis.label(part.unit)),
        "features": stats.leaf([str(feature) for feature in own], n=len(own)),
        "meanings": stats.leaf([sample.contexts[meaning] for meaning in part.meanings], n=len(own)),
        "neuron_contexts": stats.leaf(float(basis.answers.concepts[part.unit])),
        "feature_contexts": stats.leaf(float(found.answers.concepts[own].mean()), n=len(own)),
        "neuron_selectivity": stats.leaf(float(basis.answers.selectivity[part.unit])),
        "feature_selectivity": stats.leaf(float(found.answers.selectivity[own].mean()), n=len(own)),
    }


def specificity_table(trees: Mapping[str, Any], found: Mapping[str, AtSite], sample: Sample) -> pd.DataFrame:
    """weights, site, kind, target, class, unit, metric, value, ci_low, ci_high, n."""
    return pd.DataFrame([
        {"weights": weights, "site": site, "kind": kind, "target": target, "class": name,
         "unit": whole[name]["unit"]["value"], "metric": metric} | whole[name][metric]
        for weights, tree_ in trees.items()
        for site in found
        for kind, part in tree_.get(site, {}).items()
        for target, whole in ((PROXY, part), (MEMBER, part[MEMBER]))
        for name in sample.classes
        for metric in (*METRICS, "across_seeds")
        if metric in whole[name]
    ])  # fmt: skip


def splitting_table(at: AtSite, sample: Sample) -> pd.DataFrame:
    """One row per neuron and kind: the neuron, what it falls apart into, and both their held-out selectivity."""
    basis, rows = at.found[at.basis], []
    for kind, found in at.found.items():
        for part in found.splits or ():
            own = list(part.features)
            rows.append({
                "kind": kind, "neuron": basis.label(part.unit), "example": part is found.example,
                "top_contexts": part.effective, "features": " ".join(map(str, own)),
                "owned": " ".join(f"{owned:.2f}" for owned in part.owned),
                "meanings": " ".join(sample.contexts[meaning] for meaning in part.meanings),
                "accounted": part.accounted, "neuron_selectivity": basis.answers.selectivity[part.unit],
                "feature_selectivity": found.answers.selectivity[own].mean(),
                "neuron_contexts": basis.answers.concepts[part.unit],
                "feature_contexts": found.answers.concepts[own].mean(),
            })  # fmt: skip
    return pd.DataFrame(rows, columns=SPLITTING)


def example_table(at: AtSite, sample: Sample) -> pd.DataFrame:
    """kind (neuron, feature), unit, context, energy: in which kinds of text the energy of the example neuron lies, and
    that of the features it falls apart into (held-out); of the first of EXAMPLE_OF that has an example."""
    examples = ((at.found[kind], at.found[kind].example) for kind in EXAMPLE_OF if kind in at.found)
    rows = []
    for found, part in [(found, part) for found, part in examples if part is not None][:1]:
        basis = at.found[at.basis]
        units = [(at.basis, basis.label(part.unit), basis.answers.responses[part.unit])]
        units += [("feature", str(unit), found.answers.responses[unit]) for unit in part.features]
        rows = [{"kind": of, "unit": name, "context": context, "energy": energy}
                for of, name, response in units
                for context, energy in zip(sample.contexts, response**2 / max((response**2).sum(), 1e-30), strict=True)
                ]  # fmt: skip
    return pd.DataFrame(rows, columns=["kind", "unit", "context", "energy"])
