"""From what was measured to the tree of Estimates and the tables of the room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from replications.evidence import stats
from replications.evidence.stats import Array
from replications.rome_editing import scores, sequence
from replications.rome_editing.editing import SEQUENTIAL, VARIANTS, Damage, Edited

METHODS = ("base", *VARIANTS)
Lists = Mapping[str, Edited]


def tree(lists: Lists, resampling: Mapping[str, int]) -> dict[str, Any]:
    """`<list>.<method>.<score>`, and what the search for values came to: `<list>.search`."""
    return {name: _of_list(edited, resampling) for name, edited in lists.items()}


def _of_list(edited: Edited, resampling: Mapping[str, int]) -> dict[str, Any]:
    weights = stats.resample_weights(len(edited.tasks), **resampling)
    tables = {method: scores.per_fact(edited.answers[method]) for method in METHODS}
    found = {method: scores.quantities(tables[method], weights) for method in METHODS}
    for variant in VARIANTS:
        lost = scores.difference(tables["base"]["NS"], tables[variant]["NS"], weights)
        found[variant] |= {} if lost is None else {"NS_lost": lost}
    losses = edited.values.losses.cpu().numpy().astype(float)
    last = np.array([row[~np.isnan(row)][-1] for row in losses])
    found["search"] = {
        "loss_first": stats.mean(losses[:, 0], weights),
        "loss_last": stats.mean(last, weights),
        "delta": stats.mean(_relative_delta(edited), weights),
    }
    return found


def damage_tree(edited: Edited, damage: Damage, resampling: Mapping[str, int]) -> dict[str, Any]:
    """`single` and `sequence`: each variant, and what ROME's updates cost more than r-ROME's, fact by fact."""
    weights = stats.resample_weights(len(edited.tasks), **resampling)
    single = {
        variant: sequence.single_quantities(damage.single[variant], damage.unedited, edited.norms[variant], weights)
        for variant in SEQUENTIAL
    }
    ratio = np.log(edited.norms["rome"] / edited.norms["r_rome"])
    more = (damage.single["rome"] - damage.single["r_rome"]).mean(axis=1)
    single |= {"log_norm_ratio": stats.mean(ratio, weights), "rome_over_r_rome": stats.mean(more, weights)}
    along = {name: sequence.quantities(damage.points[name], damage.unedited, **resampling) for name in SEQUENTIAL}
    along["rome_over_r_rome"] = sequence.paired(damage.points["rome"], damage.points["r_rome"], **resampling)
    return {"single": single, "sequence": along}


def edit_table(found: Mapping[str, Lists]) -> pd.DataFrame:
    """One row per edit and method: fact, objects, what became of their probabilities, size of the update."""
    rows = []
    for weights, lists in found.items():
        for name, edited in lists.items():
            for method in METHODS:
                table = scores.per_fact(edited.answers[method])
                for i, task in enumerate(edited.tasks):
                    star, true = edited.answers[method][i]["rewrite"][0].exp().tolist()
                    request = task.request
                    rows.append({
                        "weights": weights, "list": name, "fact": request.fact, "method": method,
                        "prompt": request.prompt, "target": request.target, "true": request.true,
                        "p_target": star, "p_true": true, **{key: table[key][i] for key in ("ES", "PS", "NS")},
                        "norm": edited.norms[method][i] if method in edited.norms else 0.0,
                    })  # fmt: skip
    return pd.DataFrame(rows)


def score_table(trees: Mapping[str, Any]) -> pd.DataFrame:
    """weights, list, method, score, value, ci_low, ci_high, n."""
    return pd.DataFrame([
        {"weights": weights, "list": name, "method": method, "score": score, **leaf}
        for weights, part in trees.items()
        for name, methods in part.items() if "base" in methods
        for method in METHODS
        for score, leaf in methods[method].items()
    ])  # fmt: skip


def layer_table(edited: Edited, rewrites: Array, traced: Array, layers: Sequence[int]) -> pd.DataFrame:
    """fact, layer, rewrite (score after an edit there), tracing (share of the total effect restored there)."""
    return pd.DataFrame([
        {"fact": edited.tasks[i].request.fact, "layer": layer, "rewrite": rewrites[i, j], "tracing": traced[i, j]}
        for i in range(len(rewrites)) for j, layer in enumerate(layers)
    ])  # fmt: skip


def curve_table(
    rewrite: Mapping[str, Any], traced: Array, layers: Sequence[int], resampling: Mapping[str, int]
) -> pd.DataFrame:
    """layer, quantity (rewrite, tracing), value, ci_low, ci_high, n: means over facts."""
    weights = stats.resample_weights(len(traced), **resampling)
    rows = [{"layer": layer, "quantity": "rewrite", **rewrite[str(layer)]} for layer in layers]
    rows += [
        {"layer": layer, "quantity": "tracing", **stats.mean(traced[:, j], weights)} for j, layer in enumerate(layers)
    ]
    return pd.DataFrame(rows)


def sequence_table(damage: Damage) -> pd.DataFrame:
    """variant, edits, ES, nll_increase, norm along the sequence."""
    return pd.DataFrame(sequence.table(damage.points, damage.unedited))


def _relative_delta(edited: Edited) -> Array:
    """|v* - v| / |v| of each fact."""
    values = edited.values
    return (values.delta.norm(dim=-1) / values.bare_value.norm(dim=-1)).cpu().numpy().astype(float)
