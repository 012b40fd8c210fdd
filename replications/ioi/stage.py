"""The IOI stage: prompts of our grammar and the article's pair, patched on the trained model and on its random twin.

1. Build the prompts: the article's pair first, then n from the language's grammar, both name orders.
2. Run clean and corrupted prompts: logit difference, accuracy, P(IO).
3. Patch `resid_pre` at every position from the repeated subject on, and every head's output `z` at the last token.
4. Average by role with a bootstrap over prompts; find the handover from S2 to END.
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
from replications.ioi import quantities, stimuli
from replications.ioi.stimuli import Prompt
from replications.models.load import Loaded, encoder
from replications.models.twins import measure_twins
from replications.settings import room_params
from replications.stimuli.language import LanguageStimuli, load_stimuli

ROOM = "ioi"


@dataclass(frozen=True)
class Plan:
    """Prompts, the article's pair first; indices of those that are patched; grammar's prompts dropped, by reason."""

    prompts: list[Prompt]
    patched: list[int]
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
    n, seed = params["n_prompts"], params["seed"]
    made = stimuli.build_prompts(text.ioi, encoder(loaded), prefix=text.answer_prefix, n=n, seed=seed)
    prompts = [made.article, *made.prompts]
    patched = min(params["n_patched"] or len(prompts), len(made.prompts))
    return Plan(prompts, list(range(1 + patched)), made.dropped)


def measure(loaded: Loaded, plan: Plan, device: str) -> Result:
    """Steps 2 and 3."""
    batch = quantities.to_batch(plan.prompts)
    return experiment.run_pairs(loaded, batch, plan.patched, heads=True, device=device)


def trees(found: Mapping[str, Result], plan: Plan, draws: Mapping[str, int]) -> dict[str, Any]:
    """Step 4: `measured` and `control` of metrics.json."""
    return {name: quantities.quantities(result, plan.prompts, plan.patched, **draws) for name, result in found.items()}


def frames(found: Mapping[str, Result], plan: Plan, draws: Mapping[str, int]) -> dict[str, pd.DataFrame]:
    """The tidy tables by name of their CSV."""
    n, article = len(plan.patched) - 1, plan.prompts[0]
    weights, patched = stats.resample_weights(n, **draws), [plan.prompts[i] for i in plan.patched]
    trained, control = found["measured"], found["control"]
    shown = article.clean, article.corrupted, len(article.clean.ids)
    return {
        "resid_pre": by_weights(
            found, lambda result: roles.curve_table(quantities.role_curves(result, patched, weights))
        ),
        "heads": by_weights(found, lambda result: quantities.head_table(quantities.head_draws(result, weights), n)),
        "article_heads": by_weights(found, quantities.article_head_table),
        "article_resid_pre": article_cells(trained.cells, control.cells, *shown),
        "prompts": quantities.prompt_table(trained, plan.prompts, plan.patched),
    }
