"""Windows of tokens with what is known of each position: its characters, its classes, the context it stands in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from replications.dictionaries.corpus import HELD_OUT, Document, Windows
from replications.errors import Refusal
from replications.models import load
from replications.models.load import Loaded
from replications.sae_features import classes


@dataclass(frozen=True)
class Labelled:
    """w windows of T tokens. The first position is left out of everything but `tokens`, as no dictionary has seen it.

    spans [w, T - 1, 2] are characters of the window's part of its document (`parts`), inside [w, T - 1, class] says
    which classes a token is in, context [w] indexes `contexts`.
    """

    tokens: NDArray[np.int32]
    spans: NDArray[np.int32]
    inside: NDArray[np.bool_]
    document: NDArray[np.int32]
    context: NDArray[np.int64]
    parts: tuple[str, ...]
    contexts: tuple[str, ...]

    def rows(self, chosen: NDArray[np.int64]) -> Labelled:
        """Some of the windows."""
        return Labelled(self.tokens[chosen], self.spans[chosen], self.inside[chosen], self.document[chosen],
                        self.context[chosen], self.parts, self.contexts)  # fmt: skip

    def tensor(self) -> Int[Tensor, "w T"]:
        """The tokens, for a model."""
        return torch.tensor(self.tokens).long()

    def pieces(self, window: int) -> list[str]:
        """The text of each position: from the end of the one before to its own end.

        Of tokens that are parts of one character the first has it, the others are empty.
        """
        part, ends = self.parts[self.document[window]], self.spans[window, :, 1].tolist()
        starts = [int(self.spans[window, 0, 0]), *np.maximum.accumulate(ends)[:-1].tolist()]
        return [part[start:end] for start, end in zip(starts, ends, strict=True)]


def label(loaded: Loaded, windows: Windows, *, held_out: bool) -> Labelled:
    """Every window of a part of the corpus, labelled. Refuses windows that these texts are not cut into."""
    parts = tuple(_part(document, held_out) for document in windows.documents)
    size = windows.tokens.shape[1] - (loaded.bos_id is not None)
    ids, spans, inside = [], [], []
    for document, part, encoded in zip(windows.documents, parts, load.encode_with_offsets(loaded, parts), strict=True):
        framed = list(zip(*encoded, strict=True))
        own = framed[loaded.bos_id is not None : len(framed) - (loaded.eos_id is not None)]
        n = len(own) // size
        ids.append(np.array([token for token, _ in own[: n * size]], np.int32).reshape(n, size))
        spans.append(np.array([span for _, span in own[: n * size]], np.int32).reshape(n, size, 2))
        inside.append(_inside(classes.members(document, part), spans[-1]))
    cut = np.concatenate(ids)
    if not np.array_equal(cut, windows.tokens[:, -size:]):
        raise Refusal("the windows are not those that their documents are cut into: labels would be of other tokens")
    names = [classes.context(document) for document in windows.documents]
    contexts = tuple(sorted(set(names)))
    kept = windows.tokens.shape[1] - 1
    return Labelled(
        windows.tokens, np.concatenate(spans)[:, -kept:], np.concatenate(inside)[:, -kept:], windows.document,
        np.array([contexts.index(names[index]) for index in windows.document]), parts, contexts,
    )  # fmt: skip


def draw(windows: Windows, shares: Mapping[str, float], n: int, seed: int) -> NDArray[np.int64]:
    """Indices of about n windows: each source has its share, going round its documents, so that none is left out.

    No window is drawn twice; a source that has fewer gives all. Refuses a source that has none.
    """
    whole, rng = sum(shares.values()), np.random.default_rng(seed)
    sources, chosen = np.array(windows.sources()), []
    for name, share in shares.items():
        available = rng.permutation(np.flatnonzero(sources == name))
        if not len(available):
            raise Refusal(f"the corpus has no window of source {name!r}, in which features would be looked for")
        turn = _turns(windows.document[available])
        chosen.append(available[np.argsort(turn, kind="stable")][: max(1, round(n * share / whole))])
    return np.concatenate(chosen)


def _turns(documents: NDArray[np.int32]) -> NDArray[np.int64]:
    """How many windows of the same document stand before each."""
    seen: dict[int, int] = {}
    turns = []
    for document in documents.tolist():
        turns.append(seen.get(document, 0))
        seen[document] = turns[-1] + 1
    return np.array(turns)


def _part(document: Document, held_out: bool) -> str:
    """The part of a document that `corpus.cut` makes windows of."""
    at = int(len(document.text) * (1 - HELD_OUT))
    return document.text[at:] if held_out else document.text[:at]


def _inside(members: NDArray[np.bool_], spans: NDArray[np.int32]) -> NDArray[np.bool_]:
    """[window, position, class]: whether any character of the span is in the class."""
    before = np.zeros((members.shape[0], members.shape[1] + 1), np.int32)
    before[:, 1:] = members.cumsum(axis=1)
    return np.moveaxis(before[:, spans[..., 1]] > before[:, spans[..., 0]], 0, -1)
