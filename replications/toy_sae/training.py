"""The published grid: for every dictionary size, all L1 coefficients as one batch, on the same inputs.

Sizes follow one another; padding them to the largest would multiply the work. A size that is done is a shard, one under
way writes a checkpoint every few hundred steps and goes on from it with the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from replications.dictionaries.checkpoints import Checkpoints
from replications.toy_sae.bank import ToyBank, l1_of
from replications.toy_sae.ground_truth import GroundTruth, activations


@dataclass(frozen=True)
class Recipe:
    """Steps, inputs per step, and the rate of the first half; it falls to zero over the second."""

    steps: int
    batch: int
    lr: float

    def rate(self, step: int) -> float:
        """Rate of a step, counted from 0."""
        return self.lr * min(1.0, 2 * (1 - step / self.steps))


def train(
    truth: GroundTruth, h: int, alphas: Sequence[float], recipe: Recipe, *, seed: int, device: str = "cpu",
    checkpoints: Checkpoints | None = None, every: int = 500,
) -> dict[str, Tensor]:  # fmt: skip
    """`W_enc` [m, h, d], `b_enc` [m, h] and `W_dec` [m, h, d] of the dictionaries of size h, one per alpha (rising)."""
    truth = truth.to(device)
    d = truth.features.shape[1]
    bank = ToyBank(d, h, [l1_of(alpha, d, h) for alpha in alphas], lr=recipe.lr, seed=seed, device=device)
    found = checkpoints.read() if checkpoints else None
    at = 0
    if found:
        at, held = found
        bank.restore(held)
    for step in range(at, recipe.steps):
        bank.step(activations(truth, recipe.batch, step), recipe.rate(step))
        if checkpoints and (step + 1) % every == 0:
            checkpoints.write(step + 1, bank.state())
    if checkpoints:
        checkpoints.clear()
    return {"W_enc": bank.W_enc, "b_enc": bank.b_enc, "W_dec": bank.W_dec}
