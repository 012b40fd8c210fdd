"""From what was measured to the tree of Estimates and the tables of the room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from replications.dictionaries import metrics
from replications.dictionaries.trained import RESAMPLED_AT, Trained
from replications.evidence import stats
from replications.evidence.stats import Array
from replications.sae.measure import BASELINES, AtSite

EDGES = np.arange(-8, 0.01, 0.25)  # of log10 density
SHORT = {"resid_pre": "resid", "mlp_post": "mlp", "mlp_out": "mlp"}
PLACED = ("variance_explained", "l0", "alive", "loss_increase", "recovered_zero")
ALIVE_TOKENS = metrics.DEAD_WINDOWS["dictionary_learning"]
Draws = Mapping[str, int]


def tree(found: Mapping[str, AtSite], trained: Trained, draws: Draws) -> dict[str, Any]:
    """`<site>.<kind>.<metric>`, and `place.<resid or mlp>.L<layer>.<metric>` of the L1 dictionaries."""
    whole: dict[str, Any] = {}
    for name, at in found.items():
        whole[name] = of_site(at, draws)
        for kind in at.held.keys() - set(BASELINES):
            whole[name][kind] |= of_training(at, trained, kind, draws)
    whole["place"] = _places(found, whole)
    if any(at.losses for at in found.values()):
        first = next(iter(found.values())).losses["clean"]
        whole["model"] = {"loss": stats.mean(first, stats.resample_weights(len(first), **draws))}
    return whole


def of_site(at: AtSite, draws: Draws) -> dict[str, Any]:
    """Fit, density and loss of every kind at one hook point."""
    windows = len(next(iter(next(iter(at.fits.values())).values())).error)
    weights = stats.resample_weights(windows, **draws)
    found = {kind: of_fit(list(fits.values()), weights) for kind, fits in at.fits.items()}
    for kind in found.keys() - set(BASELINES):
        better = {name: _better(at, kind, name, weights) for name in BASELINES if name in at.fits}
        found[kind] |= {"better_than": better} if better else {}
    if at.losses:
        some = stats.resample_weights(len(at.losses["clean"]), **draws)
        for kind in found:
            found[kind] |= of_losses(at.losses, kind, some)
        found["ablated"] = {name: stats.mean(at.losses[name], some) for name in ("zero", "mean")}
    return found


def of_fit(fits: list[metrics.Fit], weights: Array) -> dict[str, Any]:
    """Reconstruction and density; features of all seeds together where features are counted."""
    fired = np.concatenate([fit.fired for fit in fits])
    return metrics.quality(fits, weights) | {
        "density": metrics.density(fired, fits[0].tokens),
        "alive": metrics.alive(fired),
        "size": stats.leaf(len(fits[0].fired)),
    }


def of_losses(losses: Mapping[str, Array], kind: str, weights: Array) -> dict[str, Any]:
    """Loss with the reconstruction, its increase, and the share recovered over both ablations."""
    clean, own = losses["clean"], losses[kind]
    return {
        "loss": stats.mean(own, weights),
        "loss_increase": stats.mean(own - clean, weights),
        "recovered_zero": metrics.recovered(clean, own, losses["zero"], weights),
        "recovered_mean": metrics.recovered(clean, own, losses["mean"], weights),
    }


def of_training(at: AtSite, trained: Trained, kind: str, draws: Draws) -> dict[str, Any]:
    """Dead features by each paper's window, and how alike the seeds are, beside as many random directions."""
    keys = [key for key in trained.dictionaries if key[:2] == (at.site.name, kind)]
    since = torch.stack([trained.statistics[key]["since_fired"] for key in keys])
    tokens = trained.dictionaries[keys[0]].info["tokens"]
    rows = {key[2]: trained.dictionaries[key].W_dec for key in keys}
    chance = next(iter(at.held["random"].values())).W_dec.cpu()
    alike = {"random": metrics.mmcs(rows[keys[0][2]], chance, **draws)}
    seeds = metrics.paired_mmcs(rows, **draws)
    return {"dead": metrics.dead(since, watched(trained, kind, tokens)), "tokens": stats.leaf(tokens),
            "mmcs": alike | ({} if seeds is None else {"seeds": seeds})}  # fmt: skip


def watched(trained: Trained, kind: str, tokens: int) -> int:
    """Tokens for which every feature's silence was counted: since the last resampling, which starts the count anew."""
    if kind != "standard":
        return tokens
    budget = trained.manifest["identity"]["params"]
    steps = budget["tokens"] // budget["batch"]
    return tokens - int(steps * max(RESAMPLED_AT)) * budget["batch"]


def _better(at: AtSite, kind: str, baseline: str, weights: Array) -> dict[str, Any]:
    """FVU of the baseline less that of the dictionary, window by window resampled together, mean over seeds."""
    other = next(iter(at.fits[baseline].values()))
    theirs = stats.ratio_of_means(other.error, other.variance, weights)
    ours = [stats.ratio_of_means(fit.error, fit.variance, weights) for fit in at.fits[kind].values()]
    return stats.interval(theirs - np.mean(ours, axis=0), len(other.error))


def _places(found: Mapping[str, AtSite], whole: Mapping[str, Any]) -> dict[str, Any]:
    places: dict[str, Any] = {}
    for name, at in found.items():
        if "standard" in whole[name]:
            shown = {key: whole[name]["standard"][key] for key in PLACED if key in whole[name]["standard"]}
            places.setdefault(SHORT[name], {})[f"L{at.site.layer}"] = shown
    return places


def of_published(found: Mapping[str, tuple[Any, AtSite]], draws: Draws) -> dict[str, Any]:
    """`paper.<resid or mlp>.L<layer>.<metric>` of published dictionaries."""
    places: dict[str, Any] = {}
    for _, at in found.values():
        places.setdefault(SHORT[at.site.name], {})[f"L{at.site.layer}"] = of_site(at, draws)["published"]
    return places


def score_table(trees: Mapping[str, Any], sites: list[str]) -> pd.DataFrame:
    """weights, site, kind, metric, value, ci_low, ci_high, n."""
    rows = [
        {"weights": weights, "site": site, "kind": kind, "metric": metric, **leaf}
        for weights, whole in trees.items()
        for site in sites if site in whole
        for kind, measured in whole[site].items()
        for metric, leaf in _leaves(measured)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _leaves(part: Mapping[str, Any], prefix: str = "") -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    for name, node in part.items():
        inner = [(prefix + name, node)] if "value" in node else _leaves(node, f"{prefix}{name}.")
        found += inner
    return found


def density_table(found: Mapping[str, Mapping[str, AtSite]]) -> pd.DataFrame:
    """weights, site, kind, log10_density (lower edge of the bin), features, of (all features, seeds together)."""
    rows = []
    for weights, sites in found.items():
        for name, at in sites.items():
            for kind, fits in at.fits.items():
                fired = np.concatenate([fit.fired for fit in fits.values()])
                counts = metrics.histogram(fired, next(iter(fits.values())).tokens, EDGES)
                rows += [{"weights": weights, "site": name, "kind": kind, "log10_density": edge, "features": count,
                          "of": len(fired)} for edge, count in zip(EDGES, counts, strict=False)]  # fmt: skip
    return pd.DataFrame(rows)


def training_table(trained: Mapping[str, Trained]) -> pd.DataFrame:
    """weights, site, kind, seed, block, loss: mean training loss of each block."""
    return pd.DataFrame([
        {"weights": weights, "site": site, "kind": kind, "seed": seed, "block": block, "loss": loss}
        for weights, each in trained.items()
        for (site, kind, seed), statistics in each.statistics.items()
        for block, loss in enumerate(statistics["losses"].tolist())
    ])  # fmt: skip
