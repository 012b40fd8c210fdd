"""Arrays over prompts -> the tree of Estimates. Everything is resampled over prompts, model and circuit together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from replications.evidence import stats
from replications.evidence.stats import Array
from replications.ioi_circuit.stimuli import CircuitPrompt
from replications.ioi_faithfulness import attribution, signals
from replications.ioi_faithfulness.circuits import Circuit, label
from replications.ioi_faithfulness.experiments import Found, halves

LEAST = 0.01  # minimality, as a share of F(M): section 4.2
ORDERS = ("ABBA", "BABA")


def of_model(found: Mapping[str, Found], weights: Array) -> dict[str, Any]:
    """`behaviour` and `mlps`: mean logit differences, and those without some MLPs also as a share of F(M)."""
    prompts, twins = found["behaviour"]["prompts"], found["behaviour"]["twins"]
    behaviour = {
        "logit_diff": stats.mean(prompts, weights),
        "logit_diff_abc": stats.mean(twins, weights),
        "abc_share": _share(twins, prompts, weights),
    }
    mlps = {
        name: {"logit_diff": stats.mean(values, weights), "share": _share(values, prompts, weights)}
        for name, values in found["mlps"].items()
    }
    return {"behaviour": behaviour, "mlps": mlps}


def of_circuit(
    found: Mapping[str, Found], circuit: Circuit, importance: Array, prompts: Sequence[CircuitPrompt], weights: Array
) -> dict[str, Any]:
    """All that is said of one circuit; `importance` [n, layer, head] is that of all heads of the model."""
    base = found["faithfulness"]["model"]
    tree: dict[str, Any] = {
        "size": {"heads": stats.leaf(len(circuit.heads), n=len(circuit.heads)),
                 "classes": stats.leaf(len(circuit.classes), n=len(circuit.heads))},
        "faithfulness": faithfulness(found["faithfulness"], prompts, weights),
        "naive": _kept(found["faithfulness"]["naive"], base, weights),
        "variants": variants(found, weights),
        "random": random_circuits(found["random"]["circuits"], found["faithfulness"]),
    }  # fmt: skip
    if circuit.heads:
        tree["completeness"] = completeness(found, circuit, weights)
        tree["minimality"] = minimality(found["minimality"], circuit, base, weights)
        draws = np.einsum("rn,nlh->rlh", weights, importance)
        tree["attribution"] = {"auc": stats.interval(attribution.roc_auc(draws, circuit.heads), len(base))}
    if "movers" in found:
        names = ("change", "change_with_backups")
        tree["name_movers"] = {
            name: _share(values - base, base, weights)
            for name, values in zip(names, found["movers"]["model"], strict=True)
        }
    if "signals" in found:
        tree["signals"] = signals.quantities(found["signals"]["cells"], weights)
    return tree


def of_chance(circuits: Array, base: Array) -> dict[str, Any]:
    """The control of a circuit: random circuits of its size. Median, and the middle 95 % of them as the interval."""
    share = circuits.mean(1) / base.mean()
    gap = np.abs(1 - share)
    kept = {"share": _spread(share), "relative_gap": _spread(gap)}
    return {"faithfulness": kept}


def faithfulness(found: Found, prompts: Sequence[CircuitPrompt], weights: Array) -> dict[str, Any]:
    """F(M), F(C), their distance, the share kept; by name order; the spread over prompts; KL(M || C)."""
    base, circuit = found["model"], found["circuit"]
    tree = {
        "model": stats.mean(base, weights),
        **_kept(circuit, base, weights),
        "kl": stats.mean(found["kl"], weights),
        "iqr": stats.interval(_iqr(circuit / base.mean(), weights), len(base)),
    }
    for order in ORDERS:
        rows = [i for i, p in enumerate(prompts) if p.order == order]
        some = weights[:, rows][weights[:, rows].sum(1) > 0]
        tree[order] = {"share": _share(circuit[rows], base[rows], some)}
    return tree


def variants(found: Mapping[str, Found], weights: Array) -> dict[str, Any]:
    """Share of F(M) by way of testing, and the differences that Miller et al. speak of, in shares."""
    base, circuit = found["faithfulness"]["model"], found["faithfulness"]["circuit"]
    values = {"roles_mean": circuit} | {name: v for name, v in found["variants"].items() if not name.endswith("_kl")}
    tree: dict[str, Any] = {name: _kept(value, base, weights) for name, value in values.items()}
    tree["roles_resample"]["kl"] = stats.mean(found["variants"]["roles_resample_kl"], weights)
    tree["mean_above_resample"] = _share(circuit - values["roles_resample"], base, weights)
    tree["all_above_two"] = _share(circuit - values["roles_mean_of_two"], base, weights)
    tree["everywhere_above_roles"] = _share(values["everywhere_mean"] - circuit, base, weights)
    return tree


def random_circuits(circuits: Array, found: Found) -> dict[str, Any]:
    """How many random circuits of the same size are further from the model than the circuit is."""
    base, gap = found["model"].mean(), abs(found["model"].mean() - found["circuit"].mean())
    return {
        "beaten": stats.share(np.abs(circuits.mean(1) - base) > gap),
        "share": _spread(circuits.mean(1) / base),
    }


def completeness(found: Mapping[str, Found], circuit: Circuit, weights: Array) -> dict[str, Any]:
    """Incompleteness |F(C without K) - F(M without K)| for classes, random sets and greedy sets K."""
    base, parts = found["faithfulness"]["model"], found["classes"]
    tree: dict[str, Any] = {"classes": {}}
    for name, inside, whole in zip(circuit.classes, parts["circuit"], parts["model"], strict=True):
        tree["classes"][name] = {
            "circuit": stats.mean(inside, weights), "model": stats.mean(whole, weights),
            "incompleteness": _gap(inside - whole, weights), "effect": _share(whole - base, base, weights),
        }  # fmt: skip
    tree["random"] = _worst(found["random_sets"], base, weights)
    greedy = {name: values for name, values in found.items() if name.startswith("greedy/")}
    if greedy:
        rows = halves(len(base))[1]
        together = {key: np.concatenate([g[key] for g in greedy.values()]) for key in ("circuit", "model")}
        part = weights[:, rows][weights[:, rows].sum(1) > 0]  # a resample may miss every one of them
        part = part / part.sum(1, keepdims=True)
        sizes = np.array([g["member"].sum() for g in greedy.values()])
        tree["greedy"] = _worst(together, base[rows], part) | {
            "size": stats.leaf(float(sizes.mean()), n=len(sizes)),
        }
    return tree


def minimality(found: Found, circuit: Circuit, base: Array, weights: Array) -> dict[str, Any]:
    """By head F(C without K and v), F(C without K) and their distance as a share of F(M); the smallest of them."""
    n, scores, tree = len(base), {}, {}
    for head, gone, there in zip(circuit.heads, found["with"], found["without"], strict=True):
        draws = np.abs(weights @ (gone - there)) / np.abs(weights @ base)
        scores[label(head)] = draws
        tree[label(head)] = {
            "with": stats.mean(gone, weights), "without": stats.mean(there, weights),
            "change": stats.mean(gone - there, weights), "score": stats.interval(draws, n),
        }  # fmt: skip
    smallest = min(scores, key=lambda name: scores[name][0])
    passed = [draws[0] >= LEAST for draws in scores.values()]
    return {
        "heads": tree,
        "smallest": stats.interval(scores[smallest], n),
        "smallest_head": stats.leaf(smallest, n=n),
        "passed": stats.leaf(float(np.mean(passed)), n=len(passed)),
    }


def _kept(circuit: Array, base: Array, weights: Array) -> dict[str, Any]:
    """F(C), |F(M) - F(C)| in logits and relative to F(M), F(C) / F(M)."""
    gap, whole = np.abs(weights @ (base - circuit)), weights @ base
    return {
        "circuit": stats.mean(circuit, weights),
        "gap": stats.interval(gap, len(base)),
        "relative_gap": stats.interval(gap / np.abs(whole), len(base)),
        "share": stats.interval(weights @ circuit / whole, len(base)),
    }


def _worst(found: Found, base: Array, weights: Array) -> dict[str, Any]:
    """Mean and largest incompleteness over sets [set, n], in logits and relative to F(M)."""
    gaps, whole, n = np.abs(weights @ (found["circuit"] - found["model"]).T), np.abs(weights @ base), len(base)
    return {
        "mean": stats.interval(gaps.mean(1), n), "max": stats.interval(gaps.max(1), n),
        "relative_mean": stats.interval(gaps.mean(1) / whole, n),
        "relative_max": stats.interval(gaps.max(1) / whole, n),
        "sets": stats.leaf(len(found["circuit"]), n=len(found["circuit"])),
    }  # fmt: skip


def _gap(difference: Array, weights: Array) -> dict[str, Any]:
    return stats.interval(np.abs(weights @ difference), len(difference))


def _share(values: Array, base: Array, weights: Array) -> dict[str, Any]:
    """mean(values) / mean(base) with its interval."""
    return stats.interval((weights @ values) / (weights @ base), len(base))


def _spread(values: Array) -> dict[str, Any]:
    """Median of a distribution and the middle 95 % of it."""
    low, middle, high = np.quantile(values, [0.025, 0.5, 0.975])
    return stats.leaf(float(middle), float(low), float(high), len(values))


def _iqr(values: Array, weights: Array) -> Array:
    """Draws [1 + resamples] of the interquartile range."""
    counts = np.rint(weights * len(values)).astype(int)
    quartiles = [np.quantile(np.repeat(values, count), [0.25, 0.75]) for count in counts]
    return np.array([high - low for low, high in quartiles])
