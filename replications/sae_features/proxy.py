"""The proxy that Bricken et al. 2023 hold a feature against: log P(token | class) / P(token), from training text.

P(token | class) is smoothed towards P(token) as if `PSEUDO` more tokens of the class had been seen that are drawn from
all text (a Dirichlet prior, as language models of documents have it). So every token that the class never has reads the
same, however frequent it is elsewhere, and a token that the training text does not have says nothing: 0.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

PSEUDO = 1.0


def log_likelihood_ratio(
    tokens: Int[np.ndarray, " n"], inside: Bool[np.ndarray, "n c"], size: int
) -> Float[np.ndarray, "size c"]:
    """Ratio of each token id below `size`, in nats. A class that holds none of the tokens has 0 everywhere."""
    everywhere = np.bincount(tokens, minlength=size)[:, None] / len(tokens)
    within = np.stack([np.bincount(tokens[of], minlength=size) for of in inside.T], axis=1)
    smoothed = (within + PSEUDO * everywhere) / (within.sum(axis=0) + PSEUDO)
    return np.log(np.divide(smoothed, everywhere, out=np.ones_like(smoothed), where=everywhere > 0))
