"""Dictionaries on held-out text: how well they reconstruct, and what the model loses by reading the reconstruction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from replications import progress
from replications.dictionaries import baselines, losses, metrics, published
from replications.dictionaries.metrics import Fit
from replications.dictionaries.published import Published
from replications.dictionaries.sae import Dictionary
from replications.dictionaries.stream import Site, activations
from replications.dictionaries.trained import Text, Trained
from replications.evidence.stats import Array
from replications.models.load import Loaded

BASELINES = ("pca", "random")
MEAN_WINDOWS = 32  # training windows for the mean and the principal components
Losses = dict[str, Array]  # by replacement: clean, zero, mean, and the kinds; per window


@dataclass(frozen=True)
class AtSite:
    """One hook point: dictionaries by kind (seeds, or one baseline), their fits, and losses (trained weights only)."""

    site: Site
    held: dict[str, dict[int, Dictionary]]
    fits: dict[str, dict[int, Fit]]
    losses: Losses


def at_sites(
    loaded: Loaded, text: Text, trained: Trained, params: Mapping[str, Any], *, with_losses: bool
) -> dict[str, AtSite]:
    """Everything that is measured of one set of weights, by site name. Losses are of each kind's first seed."""
    sites = list(trained.sites.values())
    device = next(loaded.hf_model.parameters()).device
    seen = activations(loaded.hf_model, text.training()[:MEAN_WINDOWS], sites)
    tested = activations(loaded.hf_model, text.testing(), sites)
    tokens = heard(text, params)
    clean = losses.window_losses(loaded.hf_model, tokens) if with_losses else None
    found = {}
    for site in progress.watched(sites, "dictionaries on held-out text"):
        sample, x = seen.pop(site)[:, 1:].flatten(0, 1), tested.pop(site)[:, 1:]
        held = by_kind(trained, site.name)
        h = max(one.h for seeds in held.values() for one in seeds.values())
        held |= {"pca": {0: baselines.principal(sample, h, params["k"])},
                 "random": {0: baselines.random(sample, h, params["k"], params["seed"])}}  # fmt: skip
        held = {kind: {seed: one.to(device) for seed, one in seeds.items()} for kind, seeds in held.items()}
        fits = {kind: {seed: metrics.fit(one, x, x.mean(dim=(0, 1))) for seed, one in seeds.items()}
                for kind, seeds in held.items()}  # fmt: skip
        first = {kind: next(iter(seeds.values())) for kind, seeds in held.items()}
        lost = {} if clean is None else replaced(loaded, tokens, site, clean, sample.mean(dim=0), first)
        found[site.name] = AtSite(site, held, fits, lost)
    return found


def by_kind(trained: Trained, site: str) -> dict[str, dict[int, Dictionary]]:
    """The dictionaries of a site: kind -> seed -> dictionary."""
    kinds = dict.fromkeys(kind for name, kind, _ in trained.dictionaries if name == site)
    return {
        kind: {seed: one for (name, its, seed), one in trained.dictionaries.items() if (name, its) == (site, kind)}
        for kind in kinds
    }


def heard(text: Text, params: Mapping[str, Any]) -> Int[Tensor, "w T"]:
    """The part of the held-out windows that losses are taken on."""
    return text.testing()[: params["loss_windows"], : params["loss_tokens"] + 1]


def replaced(
    loaded: Loaded, tokens: Int[Tensor, "w T"], site: Site, clean: Array, mean: Float[Tensor, " d"],
    dictionaries: Mapping[str, Callable[[Tensor], Tensor]],
) -> Losses:  # fmt: skip
    """The model's loss per window as it is (`clean`), and with the site replaced in every way."""
    ways = {"zero": losses.zero, "mean": losses.constant(mean), **dictionaries}
    found = {"clean": clean}
    return found | {name: losses.window_losses(loaded.hf_model, tokens, site, way) for name, way in ways.items()}


def of_published(loaded: Loaded, text: Text, params: Mapping[str, Any]) -> dict[str, tuple[Published, AtSite]]:
    """The same of every published dictionary of this model."""
    found, tokens = {}, heard(text, params)
    for entry in published.of_model(loaded.entry.id):
        site = published.site_of(entry)
        one = published.fetch(entry).to(str(next(loaded.hf_model.parameters()).device))
        x = activations(loaded.hf_model, text.testing(), [site])[site][:, 1:]
        mean = x.mean(dim=(0, 1))
        inner = x - published.own_mean(x, entry)
        fits = {"published": {0: metrics.fit(one, inner, inner.mean(dim=(0, 1)))}}

        def through(value: Tensor, one: Dictionary = one, entry: Published = entry) -> Tensor:
            own = published.own_mean(value, entry)
            return one(value - own) + own

        clean = losses.window_losses(loaded.hf_model, tokens)
        lost = replaced(loaded, tokens, site, clean, mean, {"published": through})
        found[entry.id] = (entry, AtSite(site, {"published": {0: one}}, fits, lost))
    return found
