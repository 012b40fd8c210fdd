"""The windows that are looked at: some of the training text to choose units on, some held-out to measure them on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from replications.dictionaries.trained import Text
from replications.errors import Refusal
from replications.evidence.stats import Array
from replications.models.load import Loaded
from replications.sae_features import classes, windows
from replications.sae_features.proxy import log_likelihood_ratio
from replications.sae_features.windows import Labelled

MIN_WINDOWS = 2  # of each part that a class must occur in


@dataclass(frozen=True)
class Part:
    """Windows with the proxy [w, t, c] and the membership [w, t, c] of each position in the classes of the sample."""

    labelled: Labelled
    ratio: Array
    inside: np.ndarray


@dataclass(frozen=True)
class Sample:
    """`chosen_on` is training text, `measured_on` held-out; `classes` are those that both parts have."""

    chosen_on: Part
    measured_on: Part
    classes: tuple[str, ...]
    contexts: tuple[str, ...]


def take(loaded: Loaded, text: Text, shares: Mapping[str, float], params: Mapping[str, Any]) -> Sample:
    """Windows of both parts by the shares of the stream. Refuses a text in which no class occurs often enough."""
    wholes, drawn = [], []
    for name, cut, held_out in (("select_windows", text.train, False), ("test_windows", text.held_out, True)):
        wholes.append(windows.label(loaded, cut, held_out=held_out))
        drawn.append(wholes[-1].rows(windows.draw(cut, shares, params[name], params["seed"])))
    often = [(part.inside.any(axis=1).sum(axis=0) >= MIN_WINDOWS) for part in drawn]
    kept = np.flatnonzero(often[0] & often[1])
    if not len(kept):
        raise Refusal(f"none of the classes {', '.join(classes.CLASSES)} occurs in {MIN_WINDOWS} windows of the text")
    table = _table(wholes[0], kept)
    chosen, measured = (Part(each, table[each.tokens[:, 1:]], each.inside[..., kept]) for each in drawn)
    return Sample(chosen, measured, tuple(classes.CLASSES[index] for index in kept), drawn[0].contexts)


def _table(train: Labelled, kept: np.ndarray) -> Array:
    """Proxy of each token id, from all training windows; an id that they do not have reads 0."""
    inside = train.inside[..., kept].reshape(-1, len(kept))
    return log_likelihood_ratio(train.tokens[:, 1:].ravel(), inside, _vocabulary(train))


def _vocabulary(train: Labelled) -> int:
    return int(train.tokens.max()) + 1
