"""Training several banks on one stream of activations: one forward pass of the model serves them all.

A block of the stream is turned into batches; every bank takes a step on each. State is written every few blocks, and a
run that goes on from there ends with the same bytes as one that was never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from replications.dictionaries import stream as streams
from replications.dictionaries.bank import Bank
from replications.dictionaries.checkpoints import Checkpoints
from replications.dictionaries.recipes import BankRecipe
from replications.dictionaries.sae import Dictionary
from replications.dictionaries.stream import Site, Stream
from replications.errors import Refusal

BYTES = 4 * 4  # of a weight in float32, its gradient and Adam's two moments
BlocksDone = Callable[[int], None]  # told of every block that is done


@dataclass(frozen=True)
class BankPlan:
    """A bank to train: where, and how."""

    site: Site
    recipe: BankRecipe


@dataclass
class Training:
    """Banks by plan with the constants of their inputs; `losses` [block, member] are means over a block's steps."""

    plans: tuple[BankPlan, ...]
    scales: dict[Site, float]
    banks: list[Bank]
    losses: list[list[Tensor]]

    def dictionaries(self) -> dict[tuple[Site, str, int], Dictionary]:
        """Every member, for activations as the model writes them: (site, kind, seed) -> dictionary."""
        found: dict[tuple[Site, str, int], Dictionary] = {}
        for plan, bank in zip(self.plans, self.banks, strict=True):
            for member, seed in enumerate(plan.recipe.seeds):
                one = bank.dictionary(member).in_units_of(self.scales[plan.site])
                found[plan.site, plan.recipe.kind, seed] = one
        return found


def check_budget(plans: Sequence[BankPlan], widths: Mapping[Site, int], gigabytes: float) -> None:
    """Refuse dictionaries whose training needs more memory than `gigabytes`."""
    for plan in plans:
        d, recipe = widths[plan.site], plan.recipe
        need = BYTES * len(recipe.seeds) * recipe.h * (2 * d + 1) / 1e9
        if need > gigabytes:
            fitting = int(gigabytes * 1e9 / BYTES / len(recipe.seeds) / (2 * d + 1))
            raise Refusal(f"a {recipe.kind} dictionary of {recipe.h} features on {plan.site} needs {need:.3g} GB, the "
                          f"budget is {gigabytes:g} GB: choose at most {fitting} features")  # fmt: skip


def train(
    stream: Stream, plans: Sequence[BankPlan], *, batch: int, checkpoints: Checkpoints | None = None, every: int = 4,
    report: BlocksDone | None = None,
) -> Training:  # fmt: skip
    """Train every plan's bank on the whole stream, going on from the last checkpoint if there is one."""
    first = stream.block(0)  # the constants come from the first block, also when a run is resumed
    training = start(plans, first)
    at = _resume(training, checkpoints)
    for block in range(at, stream.n_blocks):
        inputs = first if block == 0 else stream.block(block)
        _train_on(training, inputs, batch)
        if checkpoints is not None and (block + 1) % every == 0 and block + 1 < stream.n_blocks:
            checkpoints.write(block + 1, state(training))
        if report is not None:
            report(block)
    return training


def start(plans: Sequence[BankPlan], first: Mapping[Site, Float[Tensor, "n d"]]) -> Training:
    """Untrained banks, with the scale of each site and the pre-bias taken from the first block."""
    scales = {site: streams.scale_of(x) for site, x in first.items()}
    centres = {site: streams.geometric_median(x * scales[site]) for site, x in first.items()}
    banks = [Bank(plan.recipe, centres[plan.site]) for plan in plans]
    return Training(tuple(plans), scales, banks, [[] for _ in plans])


def state(training: Training) -> dict[str, Tensor]:
    """Everything that the rest of the training depends on."""
    held = {f"{i}/{name}": tensor for i, bank in enumerate(training.banks) for name, tensor in bank.state().items()}
    return held | {f"{i}/losses": torch.stack(losses) for i, losses in enumerate(training.losses) if losses}


def _resume(training: Training, checkpoints: Checkpoints | None) -> int:
    found = checkpoints.read() if checkpoints is not None else None
    if found is None:
        return 0
    block, held = found
    for i, bank in enumerate(training.banks):
        prefix = f"{i}/"
        bank.restore({name.removeprefix(prefix): value for name, value in held.items() if name.startswith(prefix)})
        training.losses[i] = list(held[f"{i}/losses"])
    return block


def _train_on(training: Training, inputs: Mapping[Site, Float[Tensor, "n d"]], batch: int) -> None:
    scaled = {site: x * training.scales[site] for site, x in inputs.items()}
    for i, (plan, bank) in enumerate(zip(training.plans, training.banks, strict=True)):
        losses = []
        for x in scaled[plan.site].split(batch):
            losses.append(bank.step(x))
            if bank.step_count in plan.recipe.resample_at:
                bank.resample(scaled[plan.site])
        training.losses[i].append(torch.stack(losses).mean(dim=0).cpu())
