"""Feature cards of a dictionary: those chosen for a class, those that a neuron falls apart into, a few at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from replications.dictionaries import cards
from replications.dictionaries.cards import Card, Context
from replications.dictionaries.sae import Dictionary
from replications.dictionaries.stream import Site
from replications.models.families import as_map, of, projection
from replications.models.load import Loaded
from replications.sae_features.measure import MEMBER, PROXY, AtSite, Found
from replications.sae_features.sample import Sample
from replications.sae_features.specificity import Draw
from replications.sae_features.units import RANDOM

CONTEXTS, AROUND, TOKENS = 5, 9, 8  # shown of a feature: contexts, tokens to either side, tokens of the logit effect
WANTED = {PROXY: "{}, followed by its tokens", MEMBER: "{}, followed as such"}  # by what a feature was chosen to follow
FACTS = {"correlation": "correlation", "share_active": "of its active tokens in the class",
         "share_strong": "of its strongly active ones", "recall": "of the class it is active on"}  # fmt: skip


def tree(loaded: Loaded, found: Mapping[str, AtSite], sample: Sample) -> dict[str, Any]:
    """What the pages show: one per trained dictionary of every hook point, with its site, kind, size and cards."""
    return {
        "pages": [
            {"site": at.site.name, "layer": at.site.layer, "kind": kind, "features": one.h,
             "cards": [asdict(_card(loaded, at, at.found[kind], one, unit, sample))
                       for unit in _in_order(at.found[kind])]}
            for at in found.values()
            for kind, one in at.dictionaries.items()
            if kind != RANDOM
        ]
    }  # fmt: skip


def _in_order(found: Found) -> list[int]:
    """Those of the classes, of the example, the others."""
    example = found.example.features if found.example else ()
    chosen = [*found.chosen[PROXY].unit, *found.chosen[MEMBER].unit]
    return list(dict.fromkeys([*chosen, *example, *found.shown]))


def _card(loaded: Loaded, at: AtSite, found: Found, one: Dictionary, unit: int, sample: Sample) -> Card:
    raised, lowered = (_texts(loaded, ids) for ids in effect(loaded, at.site, one.W_dec[unit]))
    a = torch.from_numpy(found.shown[unit])
    mine = _classes(found, unit, sample)
    places = cards.top_positions(a, CONTEXTS)
    shown = tuple(_context(sample, a, place, list(mine)) for place in places)
    inside = torch.from_numpy(sample.measured_on.inside[..., list(mine)].any(axis=-1))
    bars = cards.histogram(a.flatten(), inside.flatten(), f"in {_either(sample, list(mine))}")
    label = _label(at, found, unit, sample, places)
    return Card(unit, label, tuple(_facts(found, unit, a, sample).items()), raised, lowered, shown, bars)


def _classes(found: Found, unit: int, sample: Sample) -> dict[int, str]:
    """Classes that the unit was chosen for, with one of the targets that it was chosen by."""
    return {c: target for c in range(len(sample.classes)) for target in found.chosen
            if found.chosen[target].unit[c] == unit}  # fmt: skip


def _either(sample: Sample, classes: Sequence[int]) -> str:
    return " or ".join(sample.classes[c] for c in classes)


def _label(at: AtSite, found: Found, unit: int, sample: Sample, places: Sequence[tuple[int, int]]) -> str:
    """What was measured: how well it matches each class it was chosen for, and how many of the contexts are in it."""
    inside, mine = sample.measured_on.inside, []
    for c, target in _classes(found, unit, sample).items():
        there = sum(bool(inside[window, position, c]) for window, position in places)
        f1 = _f1(found.specific[target][c])
        mine.append(
            f"best match for {sample.classes[c]} (F1 {f1:.2f}, {there} of its {len(places)} top contexts in it)"
        )
    if found.example and unit in found.example.features:
        mine.append(f"part of what neuron {at.found[at.basis].label(found.example.unit)} falls apart into")
    return "; ".join(mine) or "drawn at random"


def _f1(specific: Mapping[str, Draw]) -> float:
    """Harmonic mean of precision and recall; 0 of a feature that is never active, or never in the class."""
    precision, recall = (float(specific[metric].draws[0]) for metric in ("share_active", "recall"))
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def _facts(found: Found, unit: int, a: Float[Tensor, "w t"], sample: Sample) -> dict[str, str]:
    """Of held-out text; `selectivity` is the strongest kind of text's share of the feature's energy."""
    answers, facts = found.answers, {"active on": f"{(a > 0).double().mean():.2%} of tokens"}
    for target, chosen in found.chosen.items():
        for c, name in enumerate(sample.classes):
            if chosen.unit[c] == unit:
                facts[WANTED[target].format(name)] = _numbers(found.specific[target][c])
    strongest = sample.contexts[int(answers.responses[unit].argmax())] if answers.responses[unit].any() else "none"
    facts["kinds of text"] = f"{answers.concepts[unit]:.1f}, most of all {strongest}"
    return facts | {"selectivity": f"{answers.selectivity[unit]:.2f} (by chance {answers.by_chance[unit]:.2f})"}


def _numbers(specific: Mapping[str, Draw]) -> str:
    defined = {metric: float(draw.draws[0]) for metric, draw in specific.items() if isfinite(draw.draws[0])}
    return ", ".join(f"{name} {defined[metric]:.2f}" if metric == "correlation" else f"{defined[metric]:.0%} {name}"
                     for metric, name in FACTS.items() if metric in defined)  # fmt: skip


def _context(sample: Sample, a: Float[Tensor, "w t"], place: tuple[int, int], classes: Sequence[int]) -> Context:
    """One context with the kind of text it is of, and whether its strongest token is in a class of the feature."""
    (window, at), part = place, sample.measured_on
    inside = bool(part.inside[window, at, list(classes)].any()) if classes else None
    kind = sample.contexts[part.labelled.context[window]]
    note = f"[{kind}, not {_either(sample, classes)}]" if inside is False else f"[{kind}]"
    pieces = part.labelled.pieces(window)
    return cards.context(pieces, a[window].tolist(), at, around=AROUND, note=note, inside=inside)


@torch.no_grad()
def effect(loaded: Loaded, site: Site, row: Float[Tensor, " d"]) -> tuple[Tensor, Tensor]:
    """Ids of the tokens that a decoder row makes likelier and less likely, by the direct path to the logits.

    A row over neurons goes through the MLP's last matrix first; the final norm's gains are applied.
    """
    model: Any = loaded.hf_model
    direction = row
    if site.name == "mlp_post":
        direction = row @ as_map(projection(model, site.layer))
    final = of(model).final
    direction = (final(model, direction[None]) - final(model, torch.zeros_like(direction)[None]))[0]
    return cards.logit_effect(direction, model.get_output_embeddings().weight, TOKENS)


def _texts(loaded: Loaded, ids: Tensor) -> tuple[str, ...]:
    return tuple(loaded.tokenizer.decode([token]) for token in ids.tolist())
