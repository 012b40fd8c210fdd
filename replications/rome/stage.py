"""The location stage: the article's Louvre/Coliseum pair and many like it, on the trained model and its random twin.

1. Pair landmarks of equal token length by a rule; the article's pair comes first.
2. Ask each landmark's city among all candidate cities: how much does the model know?
3. Run clean and corrupted prompts: log P(city)/P(other city) on both sides.
4. Patch `resid_pre` at every position; average by ROME's token classes with a bootstrap over pairs.
5. The same with random weights: what it shows too is no finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from replications.catalogue.entries import check_decoder
from replications.causal import experiment, roles
from replications.causal.experiment import Result
from replications.causal.tables import article_cells
from replications.evidence import stats
from replications.evidence.run import Asked, by_weights, write_run
from replications.models.load import Loaded, encoder
from replications.models.twins import measure_twins
from replications.rome import quantities, stimuli
from replications.rome.stimuli import LandmarkFact, Pair
from replications.settings import room_params
from replications.stimuli.language import LanguageStimuli, load_stimuli

ROOM = "rome"
Measured = tuple[Result, list[bool]]  # the pairs patched, and per fact whether it is known


@dataclass(frozen=True)
class Plan:
    """Pairs, the article's first; indices of those that are patched; all landmarks that are asked; pairs dropped."""

    pairs: list[Pair]
    patched: list[int]
    facts: list[LandmarkFact]
    dropped: dict[str, int]


def run(*, model: str, language: str, device: str, profile: str, out: Path) -> dict[str, Any]:
    """Write metrics.json, provenance.json and the tables into `out`; returns the metrics."""
    check_decoder(ROOM, model)
    asked = Asked(ROOM, model, language, device, room_params(ROOM, profile), out)
    same = partial(measure, device=device)
    twins = measure_twins(asked, partial(prepare, text=load_stimuli(language), params=asked.params), same, same)
    plan, found = twins.plan, twins.by_weights
    tables = frames(found, plan, asked.draws)
    return write_run(out, trees(found, plan, asked.draws), tables, twins.provenance | {"dropped": plan.dropped})


def prepare(loaded: Loaded, text: LanguageStimuli, params: Mapping[str, Any]) -> Plan:
    """Step 1."""
    made = stimuli.build_pairs(text.location, encoder(loaded), prefix=text.answer_prefix, seed=params["seed"])
    patched = min(params["n_patched"] or len(made.pairs), len(made.pairs))
    return Plan([made.article, *made.pairs], list(range(1 + patched)), made.facts, made.dropped)


def measure(loaded: Loaded, plan: Plan, device: str) -> Measured:
    """Steps 2 to 4."""
    batch = quantities.to_batch(plan.pairs)
    result = experiment.run_pairs(loaded, batch, plan.patched, heads=False, device=device)
    return result, quantities.knows(loaded.bridge, plan.facts, device=device)


def trees(found: Mapping[str, Measured], plan: Plan, draws: Mapping[str, int]) -> dict[str, Any]:
    """`measured` and `control` of metrics.json."""
    return {
        name: quantities.quantities(result, plan.pairs, plan.patched, known, **draws)
        for name, (result, known) in found.items()
    }


def frames(found: Mapping[str, Measured], plan: Plan, draws: Mapping[str, int]) -> dict[str, pd.DataFrame]:
    """The tidy tables by name of their CSV."""
    weights, patched = stats.resample_weights(len(plan.patched) - 1, **draws), [plan.pairs[i] for i in plan.patched]
    (trained, known), (control, _) = found["measured"], found["control"]
    article, knowledge = plan.pairs[0], dict(zip((fact.id for fact in plan.facts), known, strict=True))
    shown = article.clean.prompt, article.corrupted.prompt, article.aligned
    return {
        "resid_pre": by_weights(
            found, lambda measured: roles.curve_table(quantities.role_curves(measured[0], patched, weights))
        ),
        "article_resid_pre": article_cells(trained.cells, control.cells, *shown),
        "pairs": quantities.pair_table(trained, plan.pairs, plan.patched, knowledge),
    }
