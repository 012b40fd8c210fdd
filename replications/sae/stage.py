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

from pathlib import Path
from typing import Any

from replications import progress
from replications.catalogue import datasets
from replications.dictionaries import trained as dictionaries
from replications.dictionaries.trained import Text, Trained
from replications.errors import Refusal
from replications.evidence.run import made_by, write_run
from replications.files import write_json
from replications.models.load import Loaded, load_model
from replications.sae import measure, quantities
from replications.settings import room_params

ROOM = "sae"


def run(*, model: str, language: str, device: str, profile: str, out: Path) -> dict[str, Any]:
    """Write metrics.json, provenance.json, dictionaries.json and the tables into `out`; returns the metrics.

    The corpus is the same whatever `language` says: it holds 25. Refuses an encoder, which predicts no next token.
    """
    params = room_params(ROOM, profile)
    loaded = load_model(model, device=device)
    if loaded.entry.kind != "decoder":
        raise Refusal(f"{model}: the loss recovered is asked of decoders, and this is an encoder")
    text = dictionaries.read_text(loaded, params)
    trained = learn(loaded, text, profile, params)
    found = {"measured": measure.at_sites(loaded, text, trained, params, with_losses=True)}
    published = measure.of_published(loaded, text, params)
    provenance = made_by(loaded, params, device) | account(text, trained, params)
    del loaded  # two models at once would not fit where one just does
    twin = load_model(model, device=device, random_seed=params["seed"])
    learned = {"measured": trained, "control": learn(twin, text, profile, params, twin_seed=params["seed"])}
    found["control"] = measure.at_sites(twin, text, learned["control"], params, with_losses=False)
    draws = {"resamples": params["resamples"], "seed": params["seed"]}
    trees = {name: quantities.tree(part, learned[name], draws) for name, part in found.items()}
    if published:
        trees["measured"]["paper"] = quantities.of_published(published, draws)
    return write(out, trees, found, learned, provenance)


def learn(loaded: Loaded, text: Text, profile: str, params: dict[str, Any], *, twin_seed: int | None = None) -> Trained:
    """Train anew, whatever the cache holds."""
    total = -(-params["tokens"] // params["window"]) // params["windows_per_block"]
    weights = "random" if twin_seed is not None else "trained"
    with progress.step(f"training dictionaries on {weights} weights", total) as step:

        def report(block: int) -> None:
            step.done = block + 1

        return dictionaries.trained(loaded, profile=profile, twin_seed=twin_seed, text=text, fresh=True, params=params,
                                    report=report)  # fmt: skip


def account(text: Text, trained: Trained, params: dict[str, Any]) -> dict[str, Any]:
    """What a reader needs beyond the params: hook points, corpus, and the constants that inputs were multiplied by."""
    sets = [name for name in params["shares"] if name not in dictionaries.corpus.MADE]
    return {
        "sites": {name: site.hook_name for name, site in trained.sites.items()},
        "input_scales": trained.manifest["input_scales"],
        "corpus": {"sha256": text.digest, "windows": len(text.train.tokens), "held_out": len(text.held_out.tokens),
                   "datasets": {name: datasets.manifest(name)["licence"] for name in sets}},
    }  # fmt: skip


def write(
    out: Path, trees: dict[str, Any], found: dict[str, dict[str, measure.AtSite]], learned: dict[str, Trained],
    provenance: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """All files of the room."""
    tables = {
        "scores": quantities.score_table(trees, list(found["measured"])),
        "density": quantities.density_table(found),
        "training": quantities.training_table(learned),
    }
    manifests = {weights: {key: one.manifest[key] for key in ("files", "input_scales")} | {"folder": one.folder.name}
                 for weights, one in learned.items()}  # fmt: skip
    write_json(out / "dictionaries.json", manifests)
    write_run(out, trees, tables, provenance)
    return trees
