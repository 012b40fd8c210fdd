"""How selective a unit is, be it a neuron or a feature of a dictionary: one automatic measure for toys and real models.

A unit's response to a concept is its mean activation where the concept is present less that where it is absent;
negative ones count as none. Of the energies, the squared responses r^2 to all concepts:

* selectivity   the largest over their sum: 1 for a unit that answers to one concept, 1/3 for three alike
* concepts      (sum r^2)^2 / sum r^4, their participation ratio: 1 and 3 for the same units; 0 if it answers to none

Squares, since with hundreds of concepts the small responses that chance makes would otherwise add up to more than the
real ones; the class selectivity index of Morcos et al. 2018 has that flaw in its mean over all other classes.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

TINY = torch.finfo(torch.float32).tiny


def responses(activation: Float[Tensor, "n u"], present: Bool[Tensor, "n c"]) -> Float[Tensor, "u c"]:
    """Response of each unit to each concept; 0 where a concept is never, or always, present."""
    there, total = present.to(activation.dtype), activation.sum(0)[:, None]
    count, inside = there.sum(0), activation.T @ there
    absent = len(activation) - count
    difference = inside / count.clamp(min=1) - (total - inside) / absent.clamp(min=1)
    return torch.where((count > 0) & (absent > 0), difference, 0.0).clamp(min=0)


def selectivity(response: Float[Tensor, "u c"]) -> Float[Tensor, " u"]:
    """Share of the strongest concept in each unit's energy, between 1/c and 1; 0 for a unit that answers to none."""
    energy = _energy(response)
    return energy.amax(-1) / energy.sum(-1).clamp(min=TINY)


def concepts(response: Float[Tensor, "u c"]) -> Float[Tensor, " u"]:
    """Effective number of concepts that each unit answers to, between 1 and c; 0 for a unit that answers to none."""
    energy = _energy(response)
    return energy.sum(-1).square() / energy.square().sum(-1).clamp(min=TINY)


def _energy(response: Float[Tensor, "u c"]) -> Float[Tensor, "u c"]:
    """Squares in units of the unit's largest response, so that small ones do not vanish: 1 for that, or all 0."""
    return (response / response.amax(-1, keepdim=True).clamp(min=TINY)).square()
