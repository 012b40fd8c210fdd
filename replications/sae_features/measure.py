"""One set of weights: activations of both parts of the sample, and what is found in them at every hook point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from replications import progress
from replications.dictionaries import stream
from replications.dictionaries.sae import Dictionary
from replications.dictionaries.stream import Site
from replications.dictionaries.trained import Trained
from replications.errors import Refusal
from replications.evidence import stats
from replications.evidence.stats import Array
from replications.models.load import Loaded
from replications.sae_features import contexts, specificity, splitting, units
from replications.sae_features.contexts import Answers
from replications.sae_features.sample import Part, Sample
from replications.sae_features.specificity import Chosen, Draw
from replications.sae_features.splitting import Split

PROXY, MEMBER = "proxy", "member"  # what a unit is chosen to follow: the class' log-likelihood ratio, or being in it
Both = tuple[Float[Tensor, "w t d"], Float[Tensor, "w t d"]]  # activations: chosen on, measured on


@dataclass
class Found:
    """One kind of units at one hook point. `splits` and `example` are of MLP neurons.

    `chosen` and `specific` are by target, `proxy` or `member`, then by class; `seeds` by class, of the first.
    `seeds` is the likeness to another seed's features, `best_neuron` [feature] the largest correlation with a neuron,
    `shown` the held-out activations [w, t] of the units that get a card or a figure.
    """

    label: Any
    chosen: dict[str, Chosen]
    specific: dict[str, list[dict[str, Draw]]]
    answers: Answers
    training_answers: Answers
    seeds: list[Draw] = field(default_factory=list)
    best_neuron: Array | None = None
    splits: list[Split] | None = None
    example: Split | None = None
    shown: dict[int, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class AtSite:
    """A hook point: its kinds of units by name, and the dictionaries among them, random directions first."""

    site: Site
    found: dict[str, Found]
    dictionaries: dict[str, Dictionary]

    @property
    def basis(self) -> str:
        """What a single one is called: neuron or dimension."""
        return units.BASIS[self.site.name]


def at_sites(loaded: Loaded, trained: Trained, sample: Sample, params: Mapping[str, Any], k: int) -> dict[str, AtSite]:
    """Everything that is measured of one set of weights, by site name; `k` is how many random directions are active."""
    sites = list(trained.sites.values())
    seen = [stream.activations(loaded.hf_model, part.labelled.tensor(), sites)
            for part in (sample.chosen_on, sample.measured_on)]  # fmt: skip
    first, second = seen
    both = {site: (first.pop(site)[:, 1:].contiguous(), second.pop(site)[:, 1:].contiguous()) for site in sites}
    for site, parts in both.items():
        if not all(x.isfinite().all() for x in parts):
            raise Refusal(f"the activations of {site} are not all finite: no feature can be read from NaN")
    neurons = next((flat(x[1]) for site, x in both.items() if units.BASIS[site.name] == "neuron"), None)
    return {site.name: at_site(site, both[site], trained, sample, params, k, neurons) for site in sites}


def at_site(
    site: Site, x: Both, trained: Trained, sample: Sample, params: Mapping[str, Any], k: int,
    neurons: Float[Tensor, "n m"] | None,
) -> AtSite:  # fmt: skip
    """One hook point: its basis, random directions, and seed 0 of every kind of dictionary.

    Features of the residual stream are held against `neurons`, those of the MLP that last wrote to it.
    """
    device = str(x[0].device)
    held = {kind: trained.get(site.name, kind, 0).to(device)
            for name, kind, seed in trained.dictionaries if (name, seed) == (site.name, 0)}  # fmt: skip
    random = units.random_like(flat(x[0]), held, k, params["seed"])
    single = units.of_basis(site, flat(x[0]).mean(dim=0))
    a = encoded(single, x)
    basis = of_units(a, single.label, sample, params)
    tops = splitting.tops(a[0], sample.chosen_on.labelled.context, params["top"])
    found = {units.BASIS[site.name]: basis}
    for name, one in progress.watched({units.RANDOM: random, **held}.items(), f"dictionaries of {site.name}"):
        f = encoded(units.of_dictionary(one), x)
        found[name] = each = of_units(f, str, sample, params)
        if units.BASIS[site.name] == "neuron":
            each.splits = splitting.split(tops, flat(f[0]), flat(x[0]), one)
            each.example = splitting.example(each.splits, basis.training_answers, each.training_answers)
        elif neurons is not None:
            each.best_neuron = specificity.correlations(flat(f[1]), neurons).abs().amax(dim=1).cpu().numpy()
        if (site.name, name, 1) in trained.dictionaries:
            other = encoded(units.of_dictionary(trained.get(site.name, name, 1).to(device)), x)
            each.seeds = across_seeds(f, other, each.chosen[PROXY], params)
        each.shown = {unit: f[1][..., unit].cpu().numpy() for unit in _of_interest(each, params)}
    return AtSite(site, found, {units.RANDOM: random, **held})


def encoded(some: units.Units, x: Both) -> Both:
    """Activations of all units on both parts."""
    first, second = (some.activations(flat(part)).view(*part.shape[:2], -1) for part in x)
    return first, second


def _of_interest(found: Found, params: Mapping[str, Any]) -> list[int]:
    """Units that get a card: those chosen for a class, those of the example, a few that nobody chose."""
    example = found.example.features if found.example else ()
    chosen = [unit for each in found.chosen.values() for unit in each.unit]
    return sorted({*chosen, *example, *at_random(found.answers, params)})


def of_units(a: Both, label: Any, sample: Sample, params: Mapping[str, Any]) -> Found:
    """Specificity to every class, and answers to contexts in both parts."""
    weights = resamples(sample.measured_on, params)
    targets = {PROXY: [part.ratio for part in (sample.chosen_on, sample.measured_on)],
               MEMBER: [part.inside for part in (sample.chosen_on, sample.measured_on)]}  # fmt: skip
    chosen, specific = {}, {}
    for name, (to_choose, to_measure) in targets.items():
        known = torch.from_numpy(to_choose.reshape(-1, to_choose.shape[-1])).to(a[0].device)
        chosen[name] = specificity.choose(flat(a[0]), known)
        specific[name] = [
            specificity.measure(
                a[1][..., unit].cpu().numpy(), to_measure[..., c], sample.measured_on.inside[..., c], strong, weights
            )
            for c, (unit, strong) in enumerate(zip(chosen[name].unit, chosen[name].strong, strict=True))
        ]
    training, held_out = (contexts.answers(each, part.labelled.context, len(sample.contexts), params["seed"])
                          for each, part in zip(a, (sample.chosen_on, sample.measured_on), strict=True))  # fmt: skip
    return Found(label, chosen, specific, held_out, training)


def across_seeds(a: Both, other: Both, chosen: Chosen, params: Mapping[str, Any]) -> list[Draw]:
    """Held-out correlation of each chosen feature with that of another seed which it is most like in training."""
    mine = flat(a[0])[:, chosen.unit]
    partner = [int(np.argmax(column)) for column in specificity.correlations(flat(other[0]), mine).T.cpu().numpy()]
    weights = stats.resample_weights(len(a[1]), resamples=params["resamples"], seed=params["seed"])
    return [specificity.pearson(a[1][..., unit].cpu().numpy(), other[1][..., j].cpu().numpy(), weights)
            for unit, j in zip(chosen.unit, partner, strict=True)]  # fmt: skip


def at_random(found: Answers, params: Mapping[str, Any]) -> list[int]:
    """A few living features that nobody chose."""
    living = found.living
    n = min(params["random_cards"], len(living))
    return sorted(np.random.default_rng(params["seed"]).choice(living, n, replace=False).tolist())


def resamples(part: Part, params: Mapping[str, Any]) -> Array:
    """Bootstrap weights over windows."""
    return stats.resample_weights(len(part.ratio), resamples=params["resamples"], seed=params["seed"])


def flat(x: Float[Tensor, "w t d"]) -> Float[Tensor, "n d"]:
    """All tokens in a row."""
    return x.reshape(-1, x.shape[-1])
