"""Tasks and states made up by a test, so that it is known at which layer which information appears."""

import numpy as np
import torch

from replications.corpora.edges import EdgeTask, Sentence, Target
from replications.probing.activations import Activations


def activations(states, lengths):
    """Activations of words that are one piece each; `states` [L+1, words, d]."""
    chunk = {"states": states.half(), "scale": torch.ones(len(states))}
    pieces = np.stack([np.arange(sum(lengths)), np.arange(sum(lengths)) + 1], axis=1)
    return Activations([chunk], pieces, np.cumsum([0, *lengths]), {}, "all")


def planted(appears, *, layers=5, classes=4, width=16, sentences=(120, 40, 60), words=6, two=False, seed=0,
            strength=3.0, every=1):  # fmt: skip
    """A task whose labels can be read off the states from layer `appears` on, its states, and its sentences' places.

    One target per word, or with `two` one per pair of neighbours, whose label depends on both words; of these each
    `every`th. `strength` is the length of what is planted over that of the noise, per dimension.
    """
    generator = torch.Generator().manual_seed(seed)
    total = sum(sentences)
    kinds = torch.randint(classes, (total, words), generator=generator)
    codes = strength * torch.randn(classes, width, generator=generator)
    states = torch.randn(layers, total * words, width, generator=generator)
    states[appears:] += codes[kinds.flatten()]
    names = [f"k{kind}" for kind in range(classes)]
    made = []
    for number, row in enumerate(kinds.tolist()):
        if two:
            pairs = [((i, i + 1), (i + 1, i + 2), (row[i] + row[i + 1]) % classes) for i in range(words - 1)]
            targets = [Target(one, other, (names[kind],)) for one, other, kind in pairs]
        else:
            targets = [Target((i, i + 1), None, (names[kind],)) for i, kind in enumerate(row)]
        made.append(Sentence(f"s{number}", tuple(f"w{number}_{i}" for i in range(words)), tuple(targets[::every])))
    first, second = sentences[0], sentences[0] + sentences[1]
    splits = {"train": tuple(made[:first]), "dev": tuple(made[first:second]), "test": tuple(made[second:])}
    task = EdgeTask("planted", "en", "micro-F1", tuple(names), splits)
    return task, activations(states, [words] * total), {s.words: i for i, s in enumerate(made)}
