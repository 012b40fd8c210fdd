"""What features are about: classes of tokens (Bricken et al. 2023), neurons that split, and a card for each feature.

1. Take the trained dictionaries, windows of training text to choose on and held-out ones to measure on.
2. For every class of tokens choose the feature, the single neuron and the random direction that follow it best, by the
   class' log-likelihood ratio; measure on held-out text how well they follow it, and how pure they are.
3. Find neurons whose strongest activations lie in unrelated kinds of text, and the features that those fall apart into;
   hold both against the same measure of selectivity.
4. The same on the random-weights twin with its own dictionaries. A page of feature cards per dictionary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from replications import progress
from replications.dictionaries import trained as dictionaries
from replications.dictionaries.trained import Text
from replications.errors import Refusal
from replications.evidence.run import Asked, write_run, write_tree
from replications.models.load import Loaded
from replications.models.twins import measure_twins
from replications.sae_features import cards, quantities, sample
from replications.sae_features.measure import AtSite, at_sites
from replications.sae_features.sample import Sample
from replications.settings import room_params

ROOM, LEARNED = "sae_features", "sae"


@dataclass(frozen=True)
class Plan:
    """The text that the dictionaries were trained on, and what is taken of it."""

    text: Text
    taken: Sample


@dataclass(frozen=True)
class Found:
    """Of one set of weights: its units by hook point, and which dictionaries they are of."""

    sites: dict[str, AtSite]
    account: dict[str, Any]


def run(*, model: str, language: str, device: str, profile: str, out: Path) -> dict[str, Any]:
    """Write metrics.json, provenance.json and the tables into `out`; returns the metrics.

    The corpus is the same whatever `language` says: it holds 25. Refuses an encoder, which has no logits to act on.
    """
    asked = Asked(ROOM, model, language, device, room_params(ROOM, profile), out)
    learned = room_params(LEARNED, profile)
    twins = measure_twins(
        asked, partial(prepare, asked=asked, learned=learned),
        partial(measure, asked=asked, learned=learned, profile=profile),
        partial(control, asked=asked, learned=learned, profile=profile), seed=learned["seed"],
    )  # fmt: skip
    taken, found = twins.plan.taken, {weights: one.sites for weights, one in twins.by_weights.items()}
    trees = {weights: quantities.tree(part, taken, asked.draws) for weights, part in found.items()}
    more = twins.measured.account | account(taken)
    return write_run(out, trees, frames(trees, found["measured"], taken), twins.provenance | more)


def prepare(loaded: Loaded, asked: Asked, learned: Mapping[str, Any]) -> Plan:
    """Step 1."""
    if loaded.entry.kind != "decoder":
        raise Refusal(f"{asked.model}: feature cards show what a direction does to the logits, and this is an encoder")
    text = dictionaries.read_text(loaded, learned)
    with progress.step("windows of text by class"):
        return Plan(text, sample.take(loaded, text, learned["shares"], asked.params))


def measure(loaded: Loaded, plan: Plan, asked: Asked, learned: Mapping[str, Any], profile: str) -> Found:
    """Steps 2 and 3, and the cards, for which the model is asked once more."""
    found = _found(loaded, plan, asked, learned, profile, None)
    with progress.step("feature cards"):
        write_tree(asked.out, "cards", cards.tree(loaded, found.sites, plan.taken))
    return found


def control(twin: Loaded, plan: Plan, asked: Asked, learned: Mapping[str, Any], profile: str) -> Found:
    """Step 4: steps 2 and 3 with the twin's own dictionaries."""
    return _found(twin, plan, asked, learned, profile, learned["seed"])


def _found(
    loaded: Loaded, plan: Plan, asked: Asked, learned: Mapping[str, Any], profile: str, twin_seed: int | None
) -> Found:
    trained = dictionaries.trained(loaded, profile=profile, text=plan.text, twin_seed=twin_seed)
    which = {
        "sites": {name: site.hook_name for name, site in trained.sites.items()},
        "dictionaries": {"folder": trained.folder.name, "files": trained.manifest["files"]},
    }
    return Found(at_sites(loaded, trained, plan.taken, asked.params, learned["k"]), which)


def account(taken: Sample) -> dict[str, Any]:
    """What a reader needs beyond the params: how much text of which class."""
    parts = {"chosen_on": taken.chosen_on, "measured_on": taken.measured_on}
    return {
        "windows": {name: len(part.ratio) for name, part in parts.items()},
        "windows_with_class": {
            name: dict(zip(taken.classes, part.inside.any(axis=1).sum(axis=0).tolist(), strict=True))
            for name, part in parts.items()
        },
        "contexts": list(taken.contexts),
    }


def frames(trees: dict[str, Any], found: dict[str, AtSite], taken: Sample) -> dict[str, pd.DataFrame]:
    """The tidy tables by name of their CSV; those of neurons where the room measures them."""
    made = {"specificity": quantities.specificity_table(trees, found, taken)}
    neurons = next((at for at in found.values() if at.basis == "neuron"), None)
    if neurons is not None:
        made["splitting"] = quantities.splitting_table(neurons, taken)
        made["example"] = quantities.example_table(neurons, taken)
    return made
