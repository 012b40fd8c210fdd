"""Sparse autoencoders on a language model: L1 (Bricken et al. 2023), TopK (Gao et al.), BatchTopK (Bussmann et al.).

1. Cut an open corpus of many scripts into windows; hold the end of every text out.
2. Train all forms and seeds on one stream of activations: the residual stream that enters a layer, and the neurons of
   the MLP below it. A killed training goes on from its last checkpoint, to the same bytes.
3. On held-out text: L0, variance unexplained, features' densities, features alike between seeds; principal components
   and random directions of the same size with the same number active.
4. The model's loss with reconstructions in place of the activations, over zero and mean ablation.
5. The same training on the random-weights twin. Published dictionaries of the model, if any, by the same code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from replications import progress
from replications.catalogue import datasets
from replications.dictionaries import trained as dictionaries
from replications.dictionaries.trained import Text, Trained
from replications.errors import Refusal
from replications.evidence.run import Asked, write_run
from replications.files import write_json
from replications.models.load import Loaded
from replications.models.twins import measure_twins
from replications.sae import quantities
from replications.sae.measure import AtSite, at_sites, of_published
from replications.settings import room_params

ROOM = "sae"


@dataclass(frozen=True)
class Found:
    """Of one set of weights: its dictionaries, and what was measured of them; published ones of the trained model."""

    learned: Trained
    sites: dict[str, AtSite]
    published: dict[str, Any]


def run(*, model: str, language: str, device: str, profile: str, out: Path) -> dict[str, Any]:
    """Write metrics.json, provenance.json, dictionaries.json and the tables into `out`; returns the metrics.

    The corpus is the same whatever `language` says: it holds 25. Refuses an encoder, which predicts no next token.
    """
    asked = Asked(ROOM, model, language, device, room_params(ROOM, profile), out)
    params = asked.params
    twins = measure_twins(
        asked, partial(prepare, params=params), partial(measure, profile=profile, params=params),
        partial(control, profile=profile, params=params),
    )  # fmt: skip
    found, tree = twins.by_weights, trees(twins.by_weights, asked.draws)
    write_json(out / "dictionaries.json", manifests(found))
    more = account(twins.plan, twins.measured.learned, params)
    return write_run(out, tree, frames(found, tree), twins.provenance | more)


def prepare(loaded: Loaded, params: Mapping[str, Any]) -> Text:
    """Step 1."""
    if loaded.entry.kind != "decoder":
        raise Refusal(f"{loaded.entry.id}: the loss recovered is asked of decoders, and this is an encoder")
    return dictionaries.read_text(loaded, params)


def measure(loaded: Loaded, text: Text, profile: str, params: Mapping[str, Any]) -> Found:
    """Steps 2 to 4, and published dictionaries by the same code."""
    learned = learn(loaded, text, profile, params)
    sites = at_sites(loaded, text, learned, params, with_losses=True)
    return Found(learned, sites, of_published(loaded, text, params))


def control(twin: Loaded, text: Text, profile: str, params: Mapping[str, Any]) -> Found:
    """Step 5: the same without losses, of which random weights have none to lose."""
    learned = learn(twin, text, profile, params, twin_seed=params["seed"])
    return Found(learned, at_sites(twin, text, learned, params, with_losses=False), {})


def learn(
    loaded: Loaded, text: Text, profile: str, params: Mapping[str, Any], *, twin_seed: int | None = None
) -> Trained:
    """Train anew, whatever the cache holds."""
    total = -(-params["tokens"] // params["window"]) // params["windows_per_block"]
    with progress.step("training dictionaries", total) as step:

        def report(block: int) -> None:
            step.done = block + 1

        return dictionaries.trained(loaded, profile=profile, twin_seed=twin_seed, text=text, fresh=True, params=params,
                                    report=report)  # fmt: skip


def account(text: Text, trained: Trained, params: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader needs beyond the params: hook points, corpus, and the constants that inputs were multiplied by."""
    sets = [name for name in params["shares"] if name not in dictionaries.corpus.MADE]
    return {
        "sites": {name: site.hook_name for name, site in trained.sites.items()},
        "input_scales": trained.manifest["input_scales"],
        "corpus": {"sha256": text.digest, "windows": len(text.train.tokens), "held_out": len(text.held_out.tokens),
                   "datasets": {name: datasets.manifest(name)["licence"] for name in sets}},
    }  # fmt: skip


def trees(found: Mapping[str, Found], draws: Mapping[str, int]) -> dict[str, Any]:
    """`measured` and `control` of metrics.json."""
    made = {weights: quantities.tree(one.sites, one.learned, draws) for weights, one in found.items()}
    if found["measured"].published:
        made["measured"]["paper"] = quantities.of_published(found["measured"].published, draws)
    return made


def frames(found: Mapping[str, Found], tree: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The tidy tables by name of their CSV."""
    sites = {weights: one.sites for weights, one in found.items()}
    return {
        "scores": quantities.score_table(tree, list(sites["measured"])),
        "density": quantities.density_table(sites),
        "training": quantities.training_table({weights: one.learned for weights, one in found.items()}),
    }


def manifests(found: Mapping[str, Found]) -> dict[str, dict[str, Any]]:
    """Which dictionaries were measured, by weights: their folder in the cache and the hash of each file."""
    held = {weights: one.learned for weights, one in found.items()}
    return {weights: {key: one.manifest[key] for key in ("files", "input_scales")} | {"folder": one.folder.name}
            for weights, one in held.items()}  # fmt: skip
