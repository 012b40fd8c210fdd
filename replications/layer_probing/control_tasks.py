"""Labels that say nothing: what a probe reaches on them it has learnt by itself (Hewitt & Liang 2019, section 2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]


def word_types(words: Sequence[str]) -> NDArray[np.str_]:
    """The type of every word: its form in small letters, since some of the models see nothing else."""
    return np.array([word.lower() for word in words])


def control_labels(types: NDArray[np.str_], labels: Labels, train: NDArray[np.bool_], seed: int) -> Labels:
    """One label per word type, whatever its context, drawn from the distribution of the training words' labels.

    `types` and `labels` are those of all splits together, so that a type has the same label wherever it stands;
    `train` says which words the distribution is taken from.
    """
    known, which = np.unique(types, return_inverse=True)
    drawn = np.random.default_rng(seed).choice(labels[train], size=len(known))
    return drawn[which]


def shuffled_labels(labels: Labels, train: NDArray[np.bool_], seed: int) -> Labels:
    """The training words' labels in another order; the test words keep theirs. What is left is the majority."""
    shuffled = labels.copy()
    shuffled[train] = np.random.default_rng(seed).permutation(labels[train])
    return shuffled


def majority(labels: Labels, train: NDArray[np.bool_]) -> int:
    """The commonest training label, which a probe of nothing would give to every word."""
    return int(np.bincount(labels[train]).argmax())


def seen(types: NDArray[np.str_], train: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which words are of a type that occurs in training; no control label of another type can be learnt."""
    return np.isin(types, types[train])
