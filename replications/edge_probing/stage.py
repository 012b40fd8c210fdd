"""The edge-probing stage: every task at every depth of a frozen model, as Tenney, Das & Pavlick 2019.

1. Load the tasks that can be had here; make them small by rule; say why the others are not measured.
2. Run the model, and its random twin, once over all their sentences.
3. Per task, train the probes of all depths 0..L at once: trained model with some seeds, random twin, shuffled labels.
   A deep model has probes at evenly spaced depths only, unless the profile is full.
4. Count right and wrong labels on the test sentences; resample sentences and seeds; find at which layer the score is
   gained, where the mixing weights lie, and in which order the tasks come.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from replications.corpora.edges import EdgeTask, subsample
from replications.corpora.tasks import load_task
from replications.edge_probing import examples, probe, summary, training
from replications.edge_probing.examples import Example, Examples
from replications.edge_probing.probe import Probe, Shape
from replications.edge_probing.states import States
from replications.edge_probing.summary import Outcome
from replications.edge_probing.training import Rhythm
from replications.errors import Refusal, Unavailable
from replications.evidence import shards
from replications.evidence.run import Asked, by_weights, write_run
from replications.garbage import uncollected
from replications.models.load import Loaded
from replications.models.twins import Twins, measure_twins
from replications.probing import wordpieces
from replications.probing.activations import Activations, extract
from replications.probing.threads import side_by_side
from replications.settings import room_params

ROOM = "edge_probing"
SMALL = ("spr2", "relations")  # the authors train these, being small, in shorter rhythms
SOURCES = {"measured": 0, "control": 1}  # by weights: which of the models' states a probe reads


def run(*, model: str, language: str, device: str, profile: str, out: Path) -> dict[str, Any]:
    """Write metrics.json, provenance.json and the tables into `out`; returns the metrics."""
    asked = Asked(ROOM, model, language, device, room_params(ROOM, profile), out)
    tasks, unavailable = load_tasks(asked.params, language)
    corpus = sorted({s.words for task in tasks.values() for split in task.splits.values() for s in split})
    run_over = partial(_extract, corpus=corpus, language=language)
    twins = measure_twins(asked, lambda loaded: loaded.entry.kind, run_over, run_over)
    with shards.keep(asked.identity(tasks=digests(tasks))) as kept:
        outcomes, counts = probe_all(twins, tasks, corpus, asked, kept)
        kept.complete()
        more = {"text": twins.measured.counts, "tasks": counts, "not_measured": unavailable,
                "no_expected_layer": of_sources(summary.undefined, outcomes, asked.draws)}  # fmt: skip
        curves = by_weights(SOURCES, partial(summary.table, outcomes, **asked.draws))
        trees = of_sources(summary.quantities, outcomes, asked.draws)
        return write_run(out, trees, {"curves": curves}, twins.provenance | more)


def probe_all(
    twins: Twins[str, Activations, Activations], tasks: Mapping[str, EdgeTask], corpus: list[tuple[str, ...]],
    asked: Asked, kept: shards.Keep,
) -> tuple[dict[str, Outcome], dict[str, Any]]:  # fmt: skip
    """Step 3: by task what its probes got right and wrong, and how many examples and probes there were."""
    params, place = asked.params, {words: number for number, words in enumerate(corpus)}
    states, layers = [twins.measured, twins.control], twins.measured.n_layers
    probes, data = lineup(layers, params), {
        name: examples.build(task, states[0], place, params["seed"]) for name, task in tasks.items()
    }  # fmt: skip

    def probed(name: str) -> dict[str, Tensor]:
        rhythm = Rhythm(**params["rhythm"]["small" if name in SMALL else "large"])
        return measure(states, twins.plan, data[name], probes, rhythm, params["seed"], asked.device)

    made = kept.each({name: partial(probed, name) for name in tasks}, "tasks probed", side_by_side)
    ran = dict(zip(tasks, made, strict=True))
    outcomes = {name: as_outcome(one, probes, layers) for name, one in ran.items()}
    return outcomes, {name: data[name].counts | _size(tasks[name], one, probes) for name, one in ran.items()}


def _size(task: EdgeTask, ran: Mapping[str, Tensor], probes: list[Probe]) -> dict[str, Any]:
    size = {"steps": int(ran["steps"].max()), "probes": len(probes), "corpora": list(task.corpora)}
    return size | {f"corpus_{reason}": count for reason, count in task.dropped.items()}


@uncollected()
def load_tasks(params: Mapping[str, Any], language: str) -> tuple[dict[str, EdgeTask], dict[str, str]]:
    """Tasks that can be had here, made small; and for each of the others the reason. Refuses when none can be had.

    Which corpus a task is read from is in params.yaml: what else a machine happens to have must not change a number.
    """
    sources, tasks, unavailable = params["sources"].get(language, params["sources"]["other"]), {}, {}
    load = cache(lambda name: load_task(name, language, source=sources[name]))  # a partner of several is read once
    for name in sources:
        try:
            task, partner = load(name), (params["drawn_with"] or {}).get(name)
            other = load(partner) if partner and partner in sources else task
            tasks[name] = made_small(task, other, params)
        except Unavailable as reason:
            unavailable[name] = str(reason)
    if not tasks:
        raise Refusal(f"{ROOM}: none of its tasks can be had in {language}: {'; '.join(unavailable.values())}")
    return tasks, unavailable


def made_small(task: EdgeTask, partner: EdgeTask, params: Mapping[str, Any]) -> EdgeTask:
    """A task as small as the profile says: drawn among short sentences in which `partner` has a target, too."""
    sizes = {split: params[f"n_{split}"] for split in task.splits}
    if None in sizes.values():
        return task
    able = {s.id for split in partner.splits.values() for s in split if s.targets}
    splits = {
        split: tuple(s for s in sentences if s.id in able and len(s.words) <= params["longest"])
        for split, sentences in task.splits.items()
    }
    return subsample(replace(task, splits=splits), **sizes, seed=params["seed"])


def lineup(layers: int, params: Mapping[str, Any]) -> list[Probe]:
    """All probes of a task: depths and seeds, the random twin at fewer depths, and shuffled labels at full depth."""
    first, depths = params["seed"], spaced(layers, params["depths"])
    trained = [Probe(depth, first + seed) for seed in range(params["seeds"]) for depth in depths]
    twin = [Probe(depth, first, source=1) for depth in spaced(layers, params["twin_depths"])]
    return [*trained, *twin, Probe(layers - 1, first, shuffled=True)]


def spaced(layers: int, most: int | None) -> list[int]:
    """At most so many of the layers 0..L, evenly spaced, both ends among them; all without a limit."""
    return sorted({round(place) for place in np.linspace(0, layers - 1, min(most or layers, layers))})


def measure(
    sources: list[Activations], kind: str, data: Examples, probes: list[Probe], rhythm: Rhythm, seed: int, device: str
) -> dict[str, Tensor]:
    """Train a task's probes and count on its test split; see `as_outcome`."""
    states = States(sources, _sample(data.train, seed) if kind == "decoder" else None, device)
    shape = Shape(sources[0].n_layers, sources[0].width, data.sides, len(data.labels), len(sources))
    fitted = training.train(probes, shape, states, data, rhythm, seed)
    layers = probe.allowed(probes, shape).to(device)
    return {
        "counts": training.counts(fitted.parameters, layers, probes, states, data.test, data.scored),
        "mix": probe.mixing(fitted.parameters, layers),
        "majority": majority(data),
        "steps": fitted.steps,
    }


def of_sources(
    summarise: Callable[..., Any], outcomes: Mapping[str, Outcome], draws: Mapping[str, int]
) -> dict[str, Any]:
    """Step 4: what a summary says of the trained model's probes, and of its twin's."""
    return {name: summarise(outcomes, source, **draws) for name, source in SOURCES.items()}


def digests(tasks: Mapping[str, EdgeTask]) -> dict[str, str]:
    """SHA-256 of each task's sentences, spans and labels: what a killed run must have in common with the next."""
    return {name: hashlib.sha256(repr(task).encode()).hexdigest() for name, task in tasks.items()}


def as_outcome(ran: Mapping[str, Tensor], probes: list[Probe], layers: int) -> Outcome:
    """The tensors of `measure` as the arrays that the summary reads."""
    counts, mix, most = (ran[name].numpy().astype(np.float64) for name in ("counts", "mix", "majority"))
    return Outcome(probes, counts, mix, most, layers)


def majority(data: Examples) -> Tensor:
    """Counts [3, test sentences] of always answering the scored label that is most frequent in the training split."""
    frequency = torch.cat([example.labels[0] for example in data.train]).sum(dim=0)
    label = torch.where(data.scored, frequency, -1).argmax()
    rows = []
    for example in data.test:
        gold = example.labels[0][:, data.scored]
        hits = example.labels[0][:, label].sum()
        rows.append(torch.stack([hits, example.targets - hits, gold.sum() - hits]))
    return torch.stack(rows, dim=1).float()


def _extract(loaded: Loaded, kind: str, corpus: list[tuple[str, ...]], language: str) -> Activations:
    """Step 2, the same for every `kind` of model."""
    return extract(loaded, corpus, separator=wordpieces.separator(language))


def _sample(train: list[Example], seed: int, most: int = 4096) -> Tensor:
    """Rows of some training pieces."""
    rows = torch.cat([side for example in train for side in example.rows]).unique()
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:most].sort().values]
