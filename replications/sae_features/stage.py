"""What features are about: classes of tokens (Bricken et al. 2023), neurons that split, and a card for each feature.

1. Take the trained dictionaries, windows of training text to choose on and held-out ones to measure on.
2. For every class of tokens choose the feature, the single neuron and the random direction that follow it best, by the
   class' log-likelihood ratio; measure on held-out text how well they follow it, and how pure they are.
3. Find neurons whose strongest activations lie in unrelated kinds of text, and the features that those fall apart into;
   hold both against the same measure of selectivity.
4. The same on the random-weights twin with its own dictionaries. A page of feature cards per dictionary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from replications import progress
from replications.dictionaries import trained as dictionaries
from replications.dictionaries.trained import Trained
from replications.errors import Refusal
from replications.evidence.run import made_by, write_run, write_tree
from replications.models.load import load_model
from replications.sae_features import cards, measure, quantities, sample
from replications.sae_features.measure import AtSite
from replications.sae_features.sample import Sample
from replications.settings import room_params

ROOM, LEARNED = "sae_features", "sae"


def run(*, model: str, language: str, device: str, profile: str, out: Path) -> dict[str, Any]:
    """Write metrics.json, provenance.json and the tables into `out`; returns the metrics.

    The corpus is the same whatever `language` says: it holds 25. Refuses an encoder, which has no logits to act on.
    """
    params, learned = room_params(ROOM, profile), room_params(LEARNED, profile)
    loaded = load_model(model, device=device)
    if loaded.entry.kind != "decoder":
        raise Refusal(f"{model}: feature cards show what a direction does to the logits, and this is an encoder")
    text = dictionaries.read_text(loaded, learned)
    with progress.step("windows of text by class"):
        taken = sample.take(loaded, text, learned["shares"], params)
    trained = dictionaries.trained(loaded, profile=profile, text=text)
    with progress.step("trained weights"):
        found = {"measured": measure.at_sites(loaded, trained, taken, params, learned["k"])}
    with progress.step("feature cards"):
        write_tree(out, "cards", cards.tree(loaded, found["measured"], taken))
    provenance = made_by(loaded, params, device) | account(trained, taken)
    del loaded  # two models at once would not fit where one just does
    twin = load_model(model, device=device, random_seed=learned["seed"])
    theirs = dictionaries.trained(twin, profile=profile, text=text, twin_seed=learned["seed"])
    with progress.step("random weights"):
        found["control"] = measure.at_sites(twin, theirs, taken, params, learned["k"])
    draws = {"resamples": params["resamples"], "seed": params["seed"]}
    trees = {weights: quantities.tree(part, taken, draws) for weights, part in found.items()}
    write_run(out, trees, tables(trees, found["measured"], taken), provenance)
    return trees


def account(trained: Trained, taken: Sample) -> dict[str, Any]:
    """What a reader needs beyond the params: hook points, which dictionaries, how much text of which class."""
    parts = {"chosen_on": taken.chosen_on, "measured_on": taken.measured_on}
    return {
        "sites": {name: site.hook_name for name, site in trained.sites.items()},
        "dictionaries": {"folder": trained.folder.name, "files": trained.manifest["files"]},
        "windows": {name: len(part.ratio) for name, part in parts.items()},
        "windows_with_class": {
            name: dict(zip(taken.classes, part.inside.any(axis=1).sum(axis=0).tolist(), strict=True))
            for name, part in parts.items()
        },
        "contexts": list(taken.contexts),
    }


def tables(trees: dict[str, Any], found: dict[str, AtSite], taken: Sample) -> dict[str, pd.DataFrame]:
    """The tables by name; those of neurons where the room measures them."""
    made = {"specificity": quantities.specificity_table(trees, found, taken)}
    neurons = next((at for at in found.values() if at.basis == "neuron"), None)
    if neurons is not None:
        made["splitting"] = quantities.splitting_table(neurons, taken)
        made["example"] = quantities.example_table(neurons, taken)
    return made
