"""The tables of the room: all cells, what steered, and a few of the texts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from replications.sae_steering.measure import METHODS, NONE
from replications.sae_steering.quantities import Measured


def steering(found: Mapping[str, Measured]) -> pd.DataFrame:
    """weights, method, concept, strength; means over prompts of lexical, likelihood, perplexity, distinct; of the rise
    of the loss on unrelated sentences; `chosen`: by how many of the two halves; n prompts.

    `strength` is the multiple of the feature's maximum, or the number of the prefix; 0 for the unsteered model.
    """
    return pd.concat([_cells(weights, each) for weights, each in found.items()], ignore_index=True)


def _cells(weights: str, found: Measured) -> pd.DataFrame:
    keys = ["method", "concept", "strength"]
    grouped = found.rows.groupby(keys, sort=False)
    table = grouped[["lexical", "likelihood", "loss", "distinct"]].mean()
    table.insert(2, "perplexity", np.exp(table.pop("loss")))
    rises = found.damage.groupby(keys)["rise"].mean()
    table["damage"] = rises.reindex(table.index)
    table["chosen"] = _chosen(found).reindex(table.index)
    table["n"] = grouped.size()
    table = table.reset_index()
    table.insert(0, "weights", weights)
    return table


def _chosen(found: Measured) -> pd.Series:
    """How many halves chose a cell; those that would rather not steer chose none."""
    counts = {}
    for method in METHODS:
        strengths = range(1, len(found.multiples) + 1) if method == "prompt" else found.multiples
        for concept, halves in zip(found.concepts.names, found.best[method].chosen, strict=True):
            for index, strength in enumerate(strengths):
                counts[method, concept, float(strength)] = int((halves == index).sum())
    return pd.Series(counts)


def features(found: Mapping[str, Measured]) -> pd.DataFrame:
    """weights, concept, feature, its AUC on the example sentences, largest activation and density on training text; and
    the AUC of both scores on held-out sentences."""
    rows = []
    for weights, each in found.items():
        valid = each.validity.set_index("concept")
        for name, own in zip(each.concepts.names, each.directions, strict=True):
            rows.append({"weights": weights, "concept": name, "feature": own.feature, "auc": own.auc,
                         "largest": own.scale, "density": own.density,
                         "validity_lexical": valid.loc[name, "lexical"],
                         "validity_likelihood": valid.loc[name, "likelihood"]})  # fmt: skip
    return pd.DataFrame(rows)


def samples(found: Measured, n: int) -> pd.DataFrame:
    """concept, method, strength, prompt, text: the first `n` prompts at the strength chosen where that prompt does not
    choose; the unsteered text where none would do, whose strength is 0."""
    rows = []
    texts = found.rows.set_index(["method", "concept", "strength", "prompt"])["text"]
    strengths = {method: list(map(float, found.multiples)) for method in METHODS}
    strengths["prompt"] = [float(number + 1) for number in range(len(found.multiples))]
    for concept, name in enumerate(found.concepts.names):
        for prompt in range(min(n, int(found.rows["prompt"].max()) + 1)):
            for method in (NONE, *METHODS):
                # the half that measures this prompt chose on the other prompts
                index = -1 if method == NONE else int(found.best[method].chosen[concept, 1 - prompt % 2])
                strength = strengths[method][index] if index >= 0 else 0.0
                text = texts[method if index >= 0 else NONE, name, strength, prompt]
                rows.append({"concept": name, "method": method, "strength": strength,
                             "prompt": found.concepts.prompts[prompt], "text": text})  # fmt: skip
    return pd.DataFrame(rows)
