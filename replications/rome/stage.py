"""The location stage: the article's Louvre/Coliseum pair and many like it, on the trained model and its random twin.

1. Pair landmarks of equal token length by a rule; the article's pair comes first.
2. Ask each landmark's city among all candidate cities: how much does the model know?
3. Run clean and corrupted prompts: log P(city)/P(other city) on both sides.
4. Patch `resid_pre` at every position; average by ROME's token classes with a bootstrap over pairs.
5. The same with random weights: what it shows too is no finding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from replications import progress
from replications.catalogue.entries import check_decoder
from replications.causal import experiment, roles
from replications.causal.experiment import Result
from replications.causal.tables import article_cells
from replications.evidence import stats
from replications.evidence.run import made_by, write_run
from replications.models.load import Loaded, encoder, load_model
from replications.rome import stimuli
from replications.rome.location_patching import knows, pair_table, quantities, role_curves, to_batch
from replications.rome.stimuli import Pair, PairSet
from replications.settings import room_params
from replications.stimuli.language import load_stimuli

ROOM = "rome"


def run(*, model: str, language: str, device: str, profile: str, out: Path) -> dict[str, Any]:
    """Write metrics.json, provenance.json and the tables into `out`; returns the metrics."""
    check_decoder(ROOM, model)
    params = room_params(ROOM, profile)
    text = load_stimuli(language)
    loaded = load_model(model, device=device)
    made = stimuli.build_pairs(text.location, encoder(loaded), prefix=text.answer_prefix, seed=params["seed"])
    measured = list(range(1 + min(params["n_patched"] or len(made.pairs), len(made.pairs))))
    with progress.step("trained weights"):
        trained = _measure(loaded, made, measured, device)
    provenance = made_by(loaded, params, device) | {"dropped": made.dropped}
    del loaded  # two models at once would not fit where one just does
    twin = load_model(model, device=device, random_seed=params["seed"])
    with progress.step("random weights"):
        control = _measure(twin, made, measured, device)
    return _write(out, {"measured": trained, "control": control}, made, measured, params, provenance)


def _measure(loaded: Loaded, made: PairSet, measured: list[int], device: str) -> tuple[Result, list[bool]]:
    batch = to_batch([made.article, *made.pairs])
    result = experiment.run_pairs(loaded, batch, measured, heads=False, device=device)
    return result, knows(loaded.bridge, made.facts, device=device)


def _write(
    out: Path,
    results: dict[str, tuple[Result, list[bool]]],
    made: PairSet,
    measured: list[int],
    params: dict,
    provenance: dict,
) -> dict[str, Any]:
    pairs: list[Pair] = [made.article, *made.pairs]
    patched = [pairs[i] for i in measured]
    weights = stats.resample_weights(len(measured) - 1, resamples=params["resamples"], seed=params["seed"])
    trees, curves = {}, []
    for name, (result, known) in results.items():
        trees[name] = quantities(result, pairs, measured, known, params["resamples"], params["seed"])
        curves.append(roles.curve_table(role_curves(result, patched, weights)).assign(weights=name))
    (trained, known), (control, _) = results["measured"], results["control"]
    article, knowledge = made.article, dict(zip((fact.id for fact in made.facts), known, strict=True))
    shown = article.clean.prompt, article.corrupted.prompt, article.aligned
    tables = {
        "resid_pre": pd.concat(curves),
        "article_resid_pre": article_cells(trained.cells, control.cells, *shown),
        "pairs": pair_table(trained, pairs, measured, knowledge),
    }
    write_run(out, trees, tables, provenance)
    return trees
