"""The published grid: for every dictionary size, all L1 coefficients as one batch, on the same inputs.

Padding the sizes to the largest would multiply the work, so they take turns on inputs that are drawn once, a few at a
time. A checkpoint is written every few hundred steps; training goes on from it with the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from replications import progress
from replications.dictionaries.checkpoints import Checkpoints
from replications.toy_sae.bank import ToyBank, l1_of
from replications.toy_sae.ground_truth import GroundTruth, activations

TURN = 20  # steps of one size before the next has its turn; their inputs are held together


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
    truth: GroundTruth, sizes: Sequence[int], alphas: Sequence[float], recipe: Recipe, *, seed: int,
    device: str = "cpu", checkpoints: Checkpoints | None = None, every: int = 500,
) -> dict[int, dict[str, Tensor]]:  # fmt: skip
    """By size h: `W_enc` [m, h, d], `b_enc` [m, h], `W_dec` [m, h, d] of the dictionaries, one per alpha (rising)."""
    truth = truth.to(device)
    d = truth.features.shape[1]
    banks = {h: ToyBank(d, h, [l1_of(alpha, d, h) for alpha in alphas], seed=seed, device=device)
             for h in sizes}  # fmt: skip
    at = _resume(banks, checkpoints)
    with progress.step("training steps", recipe.steps) as shown:
        while at < recipe.steps:
            shown.done = at
            steps = range(at, min(at + TURN, recipe.steps, (at // every + 1) * every))
            drawn = [activations(truth, recipe.batch, step) for step in steps]
            for bank in banks.values():
                for step, x in zip(steps, drawn, strict=True):
                    bank.step(x, recipe.rate(step))
            at = steps.stop
            if checkpoints and at % every == 0:
                checkpoints.write(at, flat({h: bank.state() for h, bank in banks.items()}))
    if checkpoints:
        checkpoints.clear()
    return {h: {"W_enc": bank.W_enc, "b_enc": bank.b_enc, "W_dec": bank.W_dec} for h, bank in banks.items()}


def flat(by_size: Mapping[int, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """One mapping of all, names as `512/W_dec`."""
    return {f"{h}/{name}": tensor for h, held in by_size.items() for name, tensor in held.items()}


def by_size(held: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """What `flat` was made of."""
    found: dict[int, dict[str, Tensor]] = {}
    for name, tensor in held.items():
        h, own = name.split("/")
        found.setdefault(int(h), {})[own] = tensor
    return dict(sorted(found.items()))


def _resume(banks: Mapping[int, ToyBank], checkpoints: Checkpoints | None) -> int:
    found = checkpoints.read() if checkpoints else None
    if not found:
        return 0
    for h, held in by_size(found[1]).items():
        banks[h].restore(held)
    return found[0]
