"""What a trained dictionary is worth: its fit, its dead units, and whether its rows are the true features.

MMCS: mean over the true features of the largest cosine with a row of the dictionary; without knowing the truth, the
mean over a dictionary's rows of the largest cosine with a row of the next larger one (Sharkey et al. 2022).
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from sklearn.decomposition import FastICA
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from replications.dictionaries import baselines, codes, metrics
from replications.evidence.stats import Array
from replications.toy_sae.ground_truth import GroundTruth, activations

RECOVERED = 0.9  # cosine from which a true feature counts as recovered
TEST_BATCHES, TEST_BATCH = 10, 4096  # the replication's window for dead units
TOGETHER = 256  # inputs whose units a cache holds
ICA_ROUNDS = 50


def fit(weights: Mapping[str, Tensor], truth: GroundTruth) -> dict[str, Array]:
    """By member [m]: squared error as a share of the input's (`fvu`), active units (`l0`), `dead` units."""
    W_enc, b_enc, W_dec = (weights[name] for name in ("W_enc", "b_enc", "W_dec"))
    m, h, _ = W_enc.shape
    error, active, power = torch.zeros(m), torch.zeros(m, dtype=torch.int64), 0.0
    fired = torch.zeros(m, h, dtype=torch.bool)
    for number in range(TEST_BATCHES):
        x = activations(truth, TEST_BATCH, f"test {number}")
        power += x.square().sum().item()
        for part, i in itertools.product(x.split(TOGETHER), range(m)):
            pre = torch.addmm(b_enc[i], part, W_enc[i].T)[None]
            c = codes.active(pre, pre.new_zeros(1, len(part)))
            active[i] += torch.count_nonzero(c.value)
            fired[i] |= c.fired[0]
            error[i] += (c.decode(W_dec[i, None])[0] - part).square_().sum()
    found = {"fvu": error / power, "l0": active / (TEST_BATCHES * TEST_BATCH), "dead": (~fired).sum(1)}
    return {name: values.double().numpy() for name, values in found.items()}


def cosines(truth: GroundTruth, rows: Tensor) -> Array:
    """For each true feature the largest cosine with a row of a dictionary [h, d]."""
    return metrics.max_cosine(truth.features, rows)


def with_larger(rows: Mapping[int, Tensor]) -> dict[int, Array]:
    """By size but the largest: for every row of each member [m, h] the largest cosine with the next larger one."""
    sizes = sorted(rows)
    return {
        small: np.stack([metrics.max_cosine(a, b) for a, b in zip(rows[small], rows[large], strict=True)])
        for small, large in itertools.pairwise(sizes)
    }


def controls(truth: GroundTruth, sizes: Sequence[int], seed: int) -> dict[str, dict[int, Tensor]]:
    """Dictionaries of up to h rows that no autoencoder learned, by name and size h.

    Principal and independent components come with both signs, so that there are at most 2 d of them.
    """
    x = torch.cat([activations(truth, TEST_BATCH, f"control {number}") for number in range(2)])
    pairs = {h: min(h // 2, x.shape[1]) for h in sizes}
    fitted = {components: independent(x, components, seed) for components in set(pairs.values())}
    return {
        "random": {h: baselines.random(x, h, k=1, seed=seed).W_dec for h in sizes},
        "pca": {h: baselines.principal(x, h, k=1).W_dec for h in sizes},
        "ica": {h: fitted[pairs[h]] for h in sizes},
    }


def independent(x: Tensor, components: int, seed: int) -> Tensor:
    """Mixing directions [2 components, d] of FastICA with both signs; as far as it gets in ICA_ROUNDS rounds."""
    ica = FastICA(components, whiten="unit-variance", max_iter=ICA_ROUNDS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        ica.fit(x.numpy())
    rows = torch.from_numpy(ica.mixing_.T).to(x.dtype)
    return torch.cat([rows, -rows])
