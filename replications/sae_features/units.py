"""What can be asked what it is about: features of a dictionary, and single neurons or dimensions beside them.

A neuron of a gated MLP, like a dimension of the residual stream, says different things by its two signs, so each counts
as two units: this gives the single ones twice as many to choose from, and activations that are never negative, as
features have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from replications.dictionaries import baselines
from replications.dictionaries.sae import Dictionary
from replications.dictionaries.stream import Site

BASIS = {"mlp_post": "neuron", "mlp_out": "dimension", "resid_pre": "dimension"}
RANDOM = "random"


@dataclass(frozen=True)
class Units:
    """`activations` maps [n, d] to [n, u], none negative; `label` names one of them."""

    activations: Callable[[Float[Tensor, "n d"]], Float[Tensor, "n u"]]
    label: Callable[[int], str]


def of_dictionary(one: Dictionary) -> Units:
    """Features."""
    return Units(one.encode, str)


def of_basis(site: Site, centre: Float[Tensor, " d"]) -> Units:
    """Single neurons or dimensions, first all with their positive sign, then all with their negative one.

    A neuron rests at 0; a dimension of the residual stream does not, so `centre` is taken off it.
    """
    d = len(centre)
    origin = torch.zeros_like(centre) if BASIS[site.name] == "neuron" else centre

    def both_signs(x: Float[Tensor, "n d"]) -> Float[Tensor, "n u"]:
        return torch.cat([(x - origin).relu(), (origin - x).relu()], dim=1)

    return Units(both_signs, lambda unit: f"L{site.layer}.{unit % d}{'+' if unit < d else '-'}")


def random_like(x: Float[Tensor, "n d"], held: Mapping[str, Dictionary], k: int, seed: int) -> Dictionary:
    """Random directions, as many as the largest of the dictionaries has features."""
    return baselines.random(x, max(one.h for one in held.values()), k, seed)
