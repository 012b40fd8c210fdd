"""Feature cards of a dictionary: those chosen for a class, those that a neuron falls apart into, a few at random."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from replications.dictionaries import pages
from replications.dictionaries.pages import Card, Context
from replications.dictionaries.sae import Dictionary
from replications.dictionaries.stream import Site
from replications.lens.engine.families import FAMILIES
from replications.lens.load import Loaded
from replications.rome_editing.projection import as_map, projection
from replications.sae_features.measure import MEMBER, PROXY, AtSite, Found
from replications.sae_features.sample import Sample
from replications.sae_features.specificity import Draw
from replications.sae_features.windows import Labelled

CONTEXTS, AROUND, TOKENS = 5, 9, 8  # shown of a feature: contexts, tokens to either side, tokens of the logit effect
WANTED = {PROXY: "{}", MEMBER: "in {}"}  # how a card calls a class, by what its feature was chosen to follow
INTRODUCTION = (
    "Features chosen on training text: for each class the one whose activation correlates best with the class' proxy "
    "(`hebrew`) and the one that correlates best with being in the class (`in hebrew`), those that the example neuron "
    "falls apart into, and some at random. Everything on a card is of held-out text: its strongest contexts, shaded by "
    "activation; for a class that correlation, the shares of active and of strongly active tokens (above half of the "
    "largest activation) that are in it, and the share of the class on which the feature is active; how many kinds of "
    "text it answers to. Promoted and suppressed tokens are those whose logits its direction moves most, by the direct "
    "path alone."
)


def write(out: Path, loaded: Loaded, at: AtSite, sample: Sample, title: str) -> list[Path]:
    """One page per trained dictionary of a hook point: <site>.<kind>.html."""
    written = []
    for kind, found in at.found.items():
        if kind in at.dictionaries and kind != "random":
            one = at.dictionaries[kind]
            made = [_card(loaded, at, found, one, unit, sample) for unit in _in_order(found)]
            heading = f"Features of {title}: {at.site}, {kind}, {one.h} features"
            written.append(pages.write_page(out / f"{at.site.name}.{kind}.html", heading, INTRODUCTION, made))
    return written


def _in_order(found: Found) -> list[int]:
    """Those of the classes, of the example, the others."""
    example = found.example.features if found.example else ()
    chosen = [*found.chosen[PROXY].unit, *found.chosen[MEMBER].unit]
    return list(dict.fromkeys([*chosen, *example, *found.shown]))


def _card(loaded: Loaded, at: AtSite, found: Found, one: Dictionary, unit: int, sample: Sample) -> Card:
    raised, lowered = (_texts(loaded, ids) for ids in effect(loaded, at.site, one.W_dec[unit]))
    a = torch.from_numpy(found.shown[unit])
    shown = tuple(_context(sample.measured_on.labelled, a, *place) for place in pages.top_positions(a, CONTEXTS))
    return Card(unit, _label(at, found, unit, sample), _facts(found, unit, a, sample), raised, lowered, shown)


def _label(at: AtSite, found: Found, unit: int, sample: Sample) -> str:
    mine = [WANTED[target].format(name) for target, chosen in found.chosen.items()
            for name, its in zip(sample.classes, chosen.unit, strict=True) if its == unit]  # fmt: skip
    if found.example and unit in found.example.features:
        mine.append(f"part of neuron {at.found[at.basis].label(found.example.unit)}")
    return ", ".join(mine) or "at random"


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
    defined = {metric: draw.draws[0] for metric, draw in specific.items() if isfinite(draw.draws[0])}
    return ", ".join(f"{metric.replace('_', ' ')} {value:.2f}" for metric, value in defined.items())


def _context(labelled: Labelled, a: Float[Tensor, "w t"], window: int, at: int) -> Context:
    return pages.context(labelled.pieces(window), a[window].tolist(), at, around=AROUND)


@torch.no_grad()
def effect(loaded: Loaded, site: Site, row: Float[Tensor, " d"]) -> tuple[Tensor, Tensor]:
    """Ids of the tokens that a decoder row makes likelier and less likely, by the direct path to the logits.

    A row over neurons goes through the MLP's last matrix first; the final norm's gains are applied.
    """
    model: Any = loaded.hf_model
    direction = row
    if site.name == "mlp_post":
        direction = row @ as_map(projection(model, site.layer))
    final = FAMILIES[model.config.model_type].final
    direction = (final(model, direction[None]) - final(model, torch.zeros_like(direction)[None]))[0]
    return pages.logit_effect(direction, model.get_output_embeddings().weight, TOKENS)


def _texts(loaded: Loaded, ids: Tensor) -> tuple[str, ...]:
    return tuple(loaded.tokenizer.decode([token]) for token in ids.tolist())


def pages_of(out: Path, loaded: Loaded, found: Mapping[str, AtSite], sample: Sample, title: str) -> list[Path]:
    """The pages of all hook points."""
    return [page for at in found.values() for page in write(out, loaded, at, sample, title)]
