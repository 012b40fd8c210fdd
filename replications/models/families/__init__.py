"""Families of architectures: one adapter each, and no other module names an architecture.

An adapter says where transformers keeps a family's parts and what a layer needs around it; whoever needs to know asks
`of` a model. A new family is one subclass of `Family` with its `tiny` models, in a module that this face imports: it is
found by being a subclass, and tests iterate over all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from replications.errors import Refusal
from replications.models.families import bert, gemma, gpt2, gptj, llama, neox, opt  # noqa: F401  (each adds its own)
from replications.models.families.base import FULL, SLIDING, Attend, Family, Turns, as_map

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "FAMILIES", "FULL", "PLACE", "SLIDING", "Attend", "Family", "Turns", "as_map", "bridged_as", "is_silenced",
    "loaded_as", "of", "of_class", "projection", "supports",
]  # fmt: skip
PLACE = "replications/models/families"  # where a refusal sends whoever needs one more


def _adapters(base: type[Family] = Family) -> Iterator[Family]:
    for adapter in base.__subclasses__():
        yield adapter()
        yield from _adapters(adapter)


FAMILIES = {kind: family for family in _adapters() for kind in family.model_types}  # by `config.model_type`


def of(hf_model: Any) -> Family:
    """The adapter of a transformers model. Refuses a family that none is for."""
    kind = hf_model.config.model_type
    if kind not in FAMILIES:
        raise Refusal(f"{kind}: no adapter in {PLACE} is for this family of architectures; one should be added there")
    return FAMILIES[kind]


def of_class(name: str) -> Family | None:
    """The adapter of the models of one of transformers' classes."""
    return next((family for family in FAMILIES.values() if name in family.classes or name in family.headless), None)


def supports(hf_model: Any) -> bool:
    """Whether the engine can run this model: its family has an adapter, its layers are those that the adapter means."""
    family = FAMILIES.get(hf_model.config.model_type)
    return family is not None and family.supports(hf_model)


def projection(hf_model: Any, layer: int) -> nn.Module:
    """The output projection of a layer's MLP. Refuses a family that no adapter is for."""
    return of(hf_model).projection(hf_model, layer)


def loaded_as(name: str) -> str:
    """The class that a model of class `name` is loaded as: with a head where it is published without one."""
    family = of_class(name)
    return name if family is None else family.headless.get(name, name)


def is_silenced(name: str, parameter: str) -> bool:
    """Whether a parameter belongs to a head that models of class `name` are published without."""
    family = of_class(name)
    return family is not None and name in family.headless and parameter.startswith(f"{family.head.partition('.')[0]}.")


def bridged_as(name: str) -> str:
    """The class by which TransformerLens knows models of class `name`."""
    family = of_class(name)
    return name if family is None else family.bridged_as.get(name, name)
