"""How much a text is about a concept, and how repetitive it is. Two measures that anyone can check by hand.

* lexical      share of the text's words and marks that stand in the concept's lexicon (or match its pattern)
* likelihood   the unsteered model reads the text and `PROBE`; the log-probability that it goes on with one of the
               concept's topic words (their first tokens), less the mean of the same over the other concepts (nats)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from replications.evidence.stats import Array
from replications.sae_steering.concepts import Concept

PROBE = "\n\nThe text above is about"
WORDS = re.compile(r"\w+|[^\w\s]+")
TINY = 1e-30


def lexical(text: str, concept: Concept) -> float:
    """Share of the words and marks of `text` that are the concept's; 0 for a text without any."""
    words = WORDS.findall(text)
    lexicon = set(concept.lexicon)
    pattern = re.compile(concept.pattern) if concept.pattern else None
    own = sum(word.lower() in lexicon or bool(pattern and pattern.fullmatch(word)) for word in words)
    return own / len(words) if words else 0.0


def likelihood(probabilities: Array) -> Array:
    """Scores [..., concepts] from the probability [..., concepts] of each concept's topic words after the probe."""
    logs = np.log(np.maximum(probabilities, TINY))
    others = (logs.sum(axis=-1, keepdims=True) - logs) / (logs.shape[-1] - 1)
    return logs - others


def distinct(tokens: Sequence[int]) -> float:
    """Share of a text's pairs of neighbouring tokens that are different ones: low in a text that goes in circles."""
    pairs = list(pairwise(tokens))
    return len(set(pairs)) / len(pairs) if pairs else 1.0
