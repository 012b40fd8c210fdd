"""Findings -> the tidy frames that the stage writes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from replications.evidence import stats
from replications.ioi_circuit import attribution, classes
from replications.ioi_circuit.circuit import MAPS
from replications.ioi_circuit.classes import CLASSES
from replications.ioi_circuit.measure import Findings
from replications.ioi_circuit.quantities import by_layer


def class_table(found: Findings) -> pd.DataFrame:
    """One row per membership: layer, head, class, and the head's row of `head_table`."""
    rows = [(name, *head) for name in CLASSES for head in found.circuit.classes[name]]
    members = pd.DataFrame(rows, columns=["class", "layer", "head"]).astype({"layer": int, "head": int})
    return members.merge(head_table(found), on=["layer", "head"], how="left")[
        ["layer", "head", "class", *head_table(found).columns[2:]]
    ]


def head_table(found: Findings) -> pd.DataFrame:
    """One row per head: direct attribution (nats), effects as shares of the logit difference, attention, scores."""
    layer, head = np.indices(found.shape)
    columns: dict[str, Any] = {"layer": layer, "head": head, "dla": found.observed.arrays["heads"].mean(-1)}
    for name in MAPS:
        effects = found.circuit.effects.get(name)
        columns[f"path_{name}"] = (
            np.full(found.shape, np.nan)
            if effects is None
            else classes.moments(effects)[0] / found.circuit.clean.mean()
        )
    columns |= {f"attention_{name}": values for name, values in found.observed.mean_attention.items()}
    columns |= {name: scores.mean(-1) for name, scores in found.repeats.items()}
    columns |= {"copy": found.copies[0].mean(-1), "negative_copy": found.copies[1].mean(-1)}
    return pd.DataFrame({name: np.ravel(values) for name, values in columns.items()})


def attention_table(found: Findings) -> pd.DataFrame:
    """class, layer, head, attention (from END to IO), written (towards IO, nats): a row per prompt, of the head that
    writes most among the name movers, and of that among the negative ones."""
    parts = [pd.DataFrame(columns=["class", "layer", "head", "attention", "written"])]
    mean = found.observed.arrays["heads"].mean(-1)
    for name in ("name_mover", "negative_name_mover"):
        if heads := found.circuit.classes[name]:
            layer, head = at = max(heads, key=lambda head: abs(mean[head]))
            attention, written = found.observed.attention["END_IO"][at], found.observed.arrays["heads_io"][at]
            parts.append(pd.DataFrame({"class": name, "layer": layer, "head": head, "attention": attention,
                                       "written": written}))  # fmt: skip
    return pd.concat(parts[1:] or parts)


def lens_table(found: Findings, resamples: int, seed: int) -> pd.DataFrame:
    """Tidy frame layer, logit_diff, ci_low, ci_high, n: the logit lens before each layer."""
    observed = found.observed.arrays
    weights = stats.resample_weights(len(found.prompts), resamples=resamples, seed=seed)
    leaves = [
        *by_layer(attribution.lens(observed)["pre"], weights).values(),
        stats.mean(observed["logit_diff"], weights),
    ]
    rows = [{"layer": layer, "logit_diff": leaf["value"], "ci_low": leaf["ci_low"], "ci_high": leaf["ci_high"],
             "n": leaf["n"]} for layer, leaf in enumerate(leaves)]  # fmt: skip
    return pd.DataFrame(rows)


def prompt_table(found: Findings) -> pd.DataFrame:
    """One row per prompt: text, names, order, template, logit difference, P(IO), with a sentence in front."""
    rows = [{"prompt": p.text, "io": p.io, "s": p.s, "order": p.order, "template": p.template} for p in found.prompts]
    frame = pd.DataFrame(rows)
    frame["logit_diff"] = found.observed.arrays["logit_diff"]
    frame["p_io"] = found.observed.arrays["p_io"]
    frame["logit_diff_prefixed"] = pd.Series(found.prefixed)
    return frame
