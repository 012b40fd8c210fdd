"""Sharkey et al.'s toy: draw activations from known features, train the grid, see whether the features come back.

1. The grid of L1 coefficients and dictionary sizes on independent features, every coefficient of a size in one batch.
2. The same at one size on correlated features.
3. Random, principal and independent directions of the same sizes, which no autoencoder learned: the control.
4. The article's neuron, planted in smaller toys, and the dictionaries that take it apart.

Nothing is read, so the only model is `toy`. A grid that is done is a shard; one under way has a checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from replications.catalogue import store
from replications.dictionaries.checkpoints import Checkpoints
from replications.evidence.run import Asked, made_by, write_run
from replications.evidence.shards import Keep, Make, keep
from replications.settings import room_params
from replications.toy_sae import article, quantities, recovery
from replications.toy_sae.ground_truth import GroundTruth, codes, make_truth
from replications.toy_sae.training import Recipe, by_size, flat, train

ROOM, MODEL, LANGUAGE = "toy_sae", "toy", "en"
D, G = 256, 512  # width of the activations, number of true features
CORRELATED_RATIO = 2  # size of the dictionaries on correlated features


def run(*, model: str, language: str, device: str, profile: str, out: Path) -> dict[str, Any]:
    """Write metrics.json, provenance.json and the tables into `out`; returns the metrics."""
    asked = Asked(ROOM, model, language, device, room_params(ROOM, profile), out)
    asked.check_only(MODEL, LANGUAGE, "trains on drawn activations")
    params, identity = asked.params, asked.identity()
    with keep(identity) as kept:
        found = measure(params, kept, device, checkpoints_of(identity))
        more = {"alphas": alphas(params), "sizes": list(found["cosines"])}
        return write_run(out, trees(found, params), frames(found, params), made_by(asked) | more)


def alphas(params: Mapping[str, Any]) -> list[float]:
    """L1 coefficients 10^(k / 4) of the published form of the loss, rising."""
    return [10 ** (k / 4) for k in range(params["alpha_low"], params["alpha_high"] + 1, params["alpha_step"])]


def sizes(params: Mapping[str, Any]) -> list[int]:
    """Dictionary sizes 2^k G."""
    return [int(G * 2.0**k) for k in range(params["ratio_low"], params["ratio_high"] + 1)]


def checkpoints_of(identity: Mapping[str, Any]) -> Checkpoints:
    """Where the grid under way stands; `identity` names everything that its numbers depend on."""
    digest = hashlib.sha256(json.dumps([identity, torch.__version__], sort_keys=True).encode()).hexdigest()
    return Checkpoints(store.cache_root() / "training" / ROOM, digest)


def measure(params: Mapping[str, Any], kept: Keep, device: str, checkpoints: Checkpoints | None) -> dict[str, Any]:
    """Cosines with the truth [m, G], with the next larger dictionary, and fits, by size; controls; the toys."""
    recipe, seed = Recipe(**params["recipe"]), params["seed"]
    truth = make_truth(G, D, seed)
    tangled = make_truth(G, D, seed, correlated=True)
    makers: dict[str, Make] = {
        "grid": partial(_train, truth, sizes(params), "grid", params, device, checkpoints),
        "correlated": partial(_train, tangled, [CORRELATED_RATIO * G], "correlated", params, device, checkpoints),
        **{f"article/{n}": partial(article.make, seed + n, recipe) for n in range(params["article_toys"])},
    }
    first, second, *toys = kept.each(makers, "grids and the article's toys")
    kept.complete()
    grid, related = by_size(first), by_size(second)
    directions = recovery.controls(truth, list(grid), seed)
    return {
        **_recovered(truth, grid),
        "correlated": _recovered(tangled, related),
        "controls": {name: {h: recovery.cosines(truth, rows) for h, rows in by_size.items()}
                     for name, by_size in directions.items()},
        "article": [article.Toy(**toy) for toy in toys],
        "data": codes(truth, recovery.TEST_BATCH, "test 0"),
    }  # fmt: skip


def _train(
    truth: GroundTruth, sizes: Sequence[int], data: str, params: Mapping[str, Any], device: str,
    checkpoints: Checkpoints | None,
) -> dict[str, Tensor]:  # fmt: skip
    """One grid. Runs of other params have their checkpoints in the same place: one trains at a time."""
    own = checkpoints and Checkpoints(checkpoints.folder / data, checkpoints.identity)
    with store.locked(store.cache_root(), f"training-{ROOM}-{data}", ROOM):
        return flat(train(truth, sizes, alphas(params), Recipe(**params["recipe"]), seed=params["seed"], device=device,
                          checkpoints=own))  # fmt: skip


def _recovered(truth: GroundTruth, grid: Mapping[int, Mapping[str, Tensor]]) -> dict[str, Any]:
    cosines = {h: np.stack([recovery.cosines(truth, rows) for rows in weights["W_dec"]]) for h, weights in grid.items()}
    larger = recovery.with_larger({h: weights["W_dec"] for h, weights in grid.items()})
    return {"cosines": cosines, "larger": larger, "fits": {h: recovery.fit(each, truth) for h, each in grid.items()}}


def trees(found: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """`measured` and `control` of metrics.json."""
    draws = {"resamples": params["resamples"], "seed": params["seed"]}
    known = (alphas(params), G, draws)
    related = found["correlated"]
    active = (found["data"] > 0).sum(1).double().numpy()
    controls = quantities.of_controls(found["controls"], draws)
    measured = {
        "grid": quantities.of_grid(found["cosines"], found["larger"], found["fits"], *known),
        "correlated": {"best": quantities.cell(quantities.best_cell(related["cosines"]), related["cosines"],
                                               related["fits"], *known)},
        "controls": controls,
        "data": quantities.of_data(active, int((active == 0).sum()), draws),
        "article": article.quantities(found["article"], draws),
    }  # fmt: skip
    chance = {"grid": {"best": controls["best"]}, "article": article.control(found["article"], draws)}
    return {"measured": measured, "control": chance}


def frames(found: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The tidy tables by name of their CSV."""
    listed, related = alphas(params), found["correlated"]
    rows = quantities.table(found["cosines"], found["larger"], found["fits"], listed, G, "independent")
    rows += quantities.table(related["cosines"], {}, related["fits"], listed, G, "correlated")
    made = {
        "grid": rows,
        "recovery": quantities.recovery_table(found["cosines"], found["controls"]),
        "article": article.table(found["article"]),
    }
    return {name: pd.DataFrame(listed) for name, listed in made.items()}
