"""Tidy frames of the room: one row per test, random circuit, set K, head, or kind of adversarial prompt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from replications.ioi_circuit.stimuli import CircuitPrompt
from replications.ioi_faithfulness import criteria
from replications.ioi_faithfulness.circuits import Circuit, Head, label
from replications.ioi_faithfulness.experiments import SEED_OF, Found

MEASURES = ("logit_diff", "p_io", "error")


def faithfulness(name: str, tree: Mapping[str, Any]) -> pd.DataFrame:
    """Columns circuit, test, logit_diff, share, ci_low, ci_high, n: the paper's way, the naive circuit, others."""
    tests = {"naive": tree["naive"]} | {
        test: leaf for test, leaf in tree["variants"].items() if isinstance(leaf.get("share"), dict)
    }
    return pd.DataFrame([
        {"circuit": name, "test": test, "logit_diff": leaf["circuit"]["value"], "share": leaf["share"]["value"],
         "ci_low": leaf["share"]["ci_low"], "ci_high": leaf["share"]["ci_high"], "n": leaf["share"]["n"]}
        for test, leaf in tests.items()
    ])  # fmt: skip


def random_circuits(name: str, found: Mapping[str, Found]) -> pd.DataFrame:
    """Columns circuit, number, logit_diff, share."""
    values, base = found["random"]["circuits"].mean(1), found["faithfulness"]["model"].mean()
    return pd.DataFrame({"circuit": name, "number": range(len(values)), "logit_diff": values, "share": values / base})


def completeness(name: str, circuit: Circuit, found: Mapping[str, Found], params: Mapping[str, Any]) -> pd.DataFrame:
    """Columns circuit, kind (none, class, random, greedy), set (class or heads of K), heads, model, inside, n."""
    base = found["faithfulness"]
    rows = [_set(name, "none", "", 0, base["model"], base["circuit"])]
    if circuit.heads:
        drawn = criteria.random_sets(circuit, params["random_sets"], params["seed"] + SEED_OF["random_sets"])
        of_kind = {"class": (circuit.classes.items(), "classes"), "random": (_named(drawn), "random_sets")}
        for kind, (sets, key) in of_kind.items():
            parts = found[key]
            rows += [_set(name, kind, text, len(heads), whole, inside) for (text, heads), whole, inside in
                     zip(sets, parts["model"], parts["circuit"], strict=True)]  # fmt: skip
    for key, part in found.items():
        if key.startswith("greedy/"):
            chosen = [head for head, is_in in zip(circuit.heads, part["member"], strict=True) if is_in]
            rows.append(_set(name, "greedy", _text(chosen), len(chosen), part["model"][0], part["circuit"][0]))
    return pd.DataFrame(rows)


def minimality(name: str, circuit: Circuit, tree: Mapping[str, Any]) -> pd.DataFrame:
    """Columns circuit, head, class, set (K), with, without, score, ci_low, ci_high, n."""
    rows = []
    for head in circuit.heads:
        leaf = tree["minimality"]["heads"][label(head)]
        rows.append({
            "circuit": name, "head": label(head), "class": circuit.class_of(head),
            "set": _text(criteria.minimality_set(circuit, head)), "with": leaf["with"]["value"],
            "without": leaf["without"]["value"], "score": leaf["score"]["value"], "ci_low": leaf["score"]["ci_low"],
            "ci_high": leaf["score"]["ci_high"], "n": leaf["score"]["n"],
        })  # fmt: skip
    return pd.DataFrame(rows, columns=["circuit", "head", "class", "set", "with", "without", "score", "ci_low",
                                       "ci_high", "n"])  # fmt: skip


def adversarial(trees: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Columns weights (measured, control), kind, measure, value, ci_low, ci_high, n."""
    return pd.DataFrame([
        {"weights": weights, "kind": kind, "measure": measure, **leaves[measure]}
        for weights, tree in trees.items() for kind, leaves in tree.items() for measure in MEASURES
    ])  # fmt: skip


def prompts(some: Sequence[CircuitPrompt], found: Mapping[str, Mapping[str, Found]]) -> pd.DataFrame:
    """One row per prompt: text, names, order, template, the model's logit difference and each circuit's."""
    frame = pd.DataFrame(
        [{"prompt": p.text, "io": p.io, "s": p.s, "order": p.order, "template": p.template} for p in some]
    )
    for name, parts in found.items():
        frame["model"], frame[name] = parts["faithfulness"]["model"], parts["faithfulness"]["circuit"]
    return frame


def _set(name: str, kind: str, text: str, heads: int, model: Any, inside: Any) -> dict[str, Any]:
    return {"circuit": name, "kind": kind, "set": text, "heads": heads, "model": model.mean(), "inside": inside.mean(),
            "n": len(model)}  # fmt: skip


def _named(sets: Iterable[Sequence[Head]]) -> list[tuple[str, Sequence[Head]]]:
    return [(_text(heads), heads) for heads in sets]


def _text(heads: Iterable[Head]) -> str:
    return " ".join(label(head) for head in sorted(heads))
