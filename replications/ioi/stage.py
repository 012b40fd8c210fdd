"""The IOI stage: prompts of our grammar and the article's pair, patched on the trained model and on its random twin.

1. Build the prompts: the article's pair first, then n from the language's grammar, both name orders.
2. Run clean and corrupted prompts: logit difference, accuracy, P(IO).
3. Patch `resid_pre` at every position from the repeated subject on, and every head's output `z` at the last token.
4. Average by role with a bootstrap over prompts; find the handover from S2 to END.
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
from replications.ioi import stimuli
from replications.ioi.activation_patching import (
    article_head_table,
    head_draws,
    head_table,
    prompt_table,
    quantities,
    role_curves,
    to_batch,
)
from replications.models.load import encoder, load_model
from replications.settings import room_params
from replications.stimuli.language import load_stimuli

ROOM = "ioi"


def run(*, model: str, language: str, device: str, profile: str, out: Path) -> dict[str, Any]:
    """Write metrics.json, provenance.json and the tables into `out`; returns the metrics."""
    check_decoder(ROOM, model)
    params = room_params(ROOM, profile)
    text = load_stimuli(language)
    loaded = load_model(model, device=device)
    encode = encoder(loaded)
    made = stimuli.build_prompts(
        text.ioi, encode, prefix=text.answer_prefix, n=params["n_prompts"], seed=params["seed"]
    )
    prompts = [made.article, *made.prompts]
    measured = list(range(1 + min(params["n_patched"] or len(prompts), len(made.prompts))))
    batch = to_batch(prompts)
    with progress.step("trained weights"):
        trained = experiment.run_pairs(loaded, batch, measured, heads=True, device=device)
    provenance = made_by(loaded, params, device) | {"dropped": made.dropped}
    del loaded  # two models at once would not fit where one just does
    twin = load_model(model, device=device, random_seed=params["seed"])
    with progress.step("random weights"):
        control = experiment.run_pairs(twin, batch, measured, heads=True, device=device)
    return _write(out, trained, control, prompts, measured, params, provenance)


def _write(
    out: Path,
    trained: Result,
    control: Result,
    prompts: list,
    measured: list[int],
    params: dict,
    provenance: dict,
) -> dict[str, Any]:
    trees, frames = {}, []
    weights = stats.resample_weights(len(measured) - 1, resamples=params["resamples"], seed=params["seed"])
    rows = [prompts[i] for i in measured]
    for name, result in (("measured", trained), ("control", control)):
        trees[name] = quantities(result, prompts, measured, params["resamples"], params["seed"])
        made = (
            roles.curve_table(role_curves(result, rows, weights)),
            article_head_table(result),
            head_table(head_draws(result, weights), len(measured) - 1),
        )
        frames.append([table.assign(weights=name) for table in made])
    curves, article_heads, heads = (pd.concat(parts) for parts in zip(*frames, strict=True))
    article = prompts[0]
    shown = article.clean, article.corrupted, len(article.clean.ids)
    tables = {
        "resid_pre": curves,
        "heads": heads,
        "article_heads": article_heads,
        "article_resid_pre": article_cells(trained.cells, control.cells, *shown),
        "prompts": prompt_table(trained, prompts, measured),
    }
    write_run(out, trees, tables, provenance)
    return trees
