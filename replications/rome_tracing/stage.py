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
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from replications.catalogue.entries import check_decoder
from replications.evidence import shards, stats
from replications.evidence.run import Asked, write_run
from replications.models.load import Loaded
from replications.models.twins import measure_twins
from replications.rome_tracing import corruption_effects, effects, study, tables
from replications.rome_tracing.effects import Sample
from replications.rome_tracing.stimuli import MIN_FACTS
from replications.rome_tracing.study import Facts, Measured, Study
from replications.settings import room_params
from replications.stimuli.language import load_stimuli

ROOM = "rome_tracing"
Found = Mapping[str, Mapping[str, Measured]]  # by weights and list


def run(*, model: str, language: str, device: str, profile: str, out: Path) -> dict[str, Any]:
    """Write metrics.json, provenance.json and the tables into `out`; returns the metrics."""
    check_decoder(ROOM, model)
    return trace(Asked(ROOM, model, language, device, room_params(ROOM, profile), out))


def trace(asked: Asked) -> dict[str, Any]:
    """The same with params at hand; a killed run goes on after the last fact that it finished."""
    params, lists = asked.params, study.lists(asked.model, asked.language)
    prefix = load_stimuli(asked.language).answer_prefix
    with shards.keep(asked.identity(facts={name: study.digest(facts) for name, facts in lists.items()})) as kept:
        some = partial(measure, prefix=prefix, params=params, kept=kept)
        twins = measure_twins(
            asked, partial(prepare, lists=lists, prefix=prefix, params=params),
            partial(some, weights="measured"), partial(some, weights="control"),
        )  # fmt: skip
        kept.complete()
        trees, written = evaluate(twins.by_weights, twins.plan, asked.draws)
        layers = next(iter(twins.measured.values())).layers.sampled
        more = {"layers": layers, "lists": {one.name: one.counts for one in twins.plan}}
        return write_run(asked.out, trees, written, twins.provenance | more)


def prepare(loaded: Loaded, lists: Mapping[str, Facts], prefix: str, params: Mapping[str, Any]) -> list[Study]:
    """Step 1, for every list of facts. Refuses a model that the engine cannot run before anything is asked."""
    study.stack_of(loaded)
    return [study.prepare(name, facts, loaded, prefix, params) for name, facts in lists.items()]


def measure(
    loaded: Loaded, studies: list[Study], prefix: str, params: Mapping[str, Any], kept: shards.Keep, weights: str
) -> dict[str, Measured]:
    """Steps 2 and 3, by list."""
    return {one.name: study.measure(one, loaded, prefix, params, kept, weights) for one in studies}


def evaluate(
    found: Found, studies: list[Study], draws: Mapping[str, int]
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """Step 4: `measured` and `control` of metrics.json, and the tidy tables by name of their CSV."""
    trees: dict[str, Any] = {}
    frames: dict[str, list[pd.DataFrame]] = {}
    for weights, by_list in found.items():
        for one in studies:
            tree, curves = _evaluated(one, by_list[one.name], draws)
            trees.setdefault(weights, {})[one.name] = tree
            per_fact = curves.pop("facts")
            for name, frame in curves.items():
                frames.setdefault(name, []).append(frame.assign(list=one.name, weights=weights))
            if weights == "measured":
                frames.setdefault("facts", []).append(per_fact.assign(list=one.name))
    return trees, {name: pd.concat(parts) for name, parts in frames.items()}


def _evaluated(
    one: Study, measured: Measured, draws: Mapping[str, int]
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """The quantities of one list on one set of weights, and its tables."""
    sample, layers = Sample.of(measured.rows, **draws), measured.layers
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
        paired = Sample.of(measured.pairs, **draws)
        tree["corruptions"] = corruption_effects.quantities(paired, layers)
        frames["corruptions"] = tables.corruptions(paired, layers)
    return tree, frames
