"""Causal tracing (Meng et al. 2022): facts that the model knows, on the trained model and on its random twin.

1. Ask every fact of the list; keep those whose object the model says.
2. Clean run; corrupted runs with Gaussian noise on the subject; each restoration of a state, of windows of MLPs or of
   attention modules; states with MLPs or attention severed; the same noise on other tokens.
3. The same facts with another known subject in place of noise (Zhang & Nanda 2023), two metrics, three widths.
4. Average by token class and layer with a bootstrap over facts; find the peaks.
5. The same facts with random weights: what that shows too is no finding.
On the paper's own models all of it a second time, on the paper's own facts (`paper`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from replications.catalogue.entries import check_decoder
from replications.evidence import shards, stats
from replications.evidence.run import made_by, write_run
from replications.models.load import Loaded, load_model
from replications.rome_tracing import corruption_effects, effects, study, tables
from replications.rome_tracing.effects import Sample
from replications.rome_tracing.stimuli import MIN_FACTS
from replications.rome_tracing.study import Measured, Study
from replications.settings import room_params
from replications.stimuli.language import load_stimuli

ROOM = "rome_tracing"


def run(*, model: str, language: str, device: str, profile: str, out: Path) -> dict[str, Any]:
    """Write metrics.json, provenance.json and the tables into `out`; returns the metrics."""
    check_decoder(ROOM, model)
    return measure(model=model, language=language, device=device, params=room_params(ROOM, profile), out=out)


def measure(*, model: str, language: str, device: str, params: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """The same with params at hand; a killed run goes on after the last fact that it finished."""
    prefix, lists = load_stimuli(language).answer_prefix, study.lists(model, language)
    identity = {"room": ROOM, "model": model, "language": language, "device": device, "params": dict(params),
                "facts": {name: study.digest(facts) for name, facts in lists.items()}}  # fmt: skip
    with shards.keep(identity) as kept:

        def traced(studies: list[Study], loaded: Loaded, weights: str) -> dict[str, Measured]:
            return {one.name: study.measure(one, loaded, prefix, params, kept, weights) for one in studies}

        loaded = load_model(model, device=device)
        study.stack_of(loaded)  # refuses before anything is asked
        studies = [study.prepare(name, facts, loaded, prefix, params) for name, facts in lists.items()]
        found = {"measured": traced(studies, loaded, "measured")}
        provenance = made_by(loaded, params, device)
        del loaded  # two models at once would not fit where one just does
        twin = load_model(model, device=device, random_seed=params["seed"])
        found["control"] = traced(studies, twin, "control")
        return _write(out, found, studies, params, provenance)


def _write(
    out: Path,
    found: Mapping[str, Mapping[str, Measured]],
    studies: list[Study],
    params: Mapping[str, Any],
    provenance: dict[str, Any],
) -> dict[str, Any]:
    trees: dict[str, Any] = {}
    frames: dict[str, list[pd.DataFrame]] = {}
    for weights, by_list in found.items():
        for one in studies:
            tree, curves = _evaluated(one, by_list[one.name], params)
            trees.setdefault(weights, {})[one.name] = tree
            per_fact = curves.pop("facts")
            for name, frame in curves.items():
                frames.setdefault(name, []).append(frame.assign(list=one.name, weights=weights))
            if weights == "measured":
                frames.setdefault("facts", []).append(per_fact.assign(list=one.name))
    written = {name: pd.concat(parts) for name, parts in frames.items()}
    layers = next(iter(found["measured"].values())).layers.sampled
    more = {"layers": layers, "lists": {one.name: one.counts for one in studies}}
    write_run(out, trees, written, provenance | more)
    return trees


def _evaluated(
    one: Study, measured: Measured, params: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """The quantities of one list on one set of weights, and its tables."""
    options = {"resamples": params["resamples"], "seed": params["seed"]}
    sample, layers = Sample.of(measured.rows, **options), measured.layers
    known = [True] * len(one.asked.known) + [False] * len(one.asked.unknown)
    tree = {
        "records": stats.leaf(one.records),
        "known_share": stats.share(known),
        "known_n": stats.leaf(sum(known) * one.records / len(known), n=len(known)),
        **effects.quantities(sample, layers, measured.scales),
    }
    ids = [fact.id for fact in one.facts][: sample.n]
    frames = {"aie": tables.aie(sample, layers), "severed": tables.severed(sample, layers),
              "facts": tables.facts(ids, sample, layers)}  # fmt: skip
    if len(measured.pairs) >= MIN_FACTS:
        paired = Sample.of(measured.pairs, **options)
        tree["corruptions"] = corruption_effects.quantities(paired, layers)
        frames["corruptions"] = tables.corruptions(paired, layers)
    return tree, frames
