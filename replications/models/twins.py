"""One experiment on a trained model and on its random twin, which is the control: same stimuli, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from replications import progress
from replications.evidence.run import Asked, made_by
from replications.models.load import Loaded, load_model

Plan = TypeVar("Plan")
Measured = TypeVar("Measured")
Control = TypeVar("Control")


@dataclass(frozen=True)
class Twins(Generic[Plan, Measured, Control]):
    """What was to be done, decided on the trained model; what was measured on it and on its twin; how it was made."""

    plan: Plan
    measured: Measured
    control: Control
    provenance: dict[str, Any]

    @property
    def by_weights(self) -> dict[str, Any]:
        """What was measured, by the name of the set of weights in metrics.json."""
        return {"measured": self.measured, "control": self.control}


def measure_twins(
    asked: Asked,
    prepare: Callable[[Loaded], Plan],
    measure: Callable[[Loaded, Plan], Measured],
    control: Callable[[Loaded, Plan], Control],
    *,
    seed: int | None = None,
) -> Twins[Plan, Measured, Control]:
    """Prepare and measure on the trained model, let go of it, and measure on the twin of the same plan.

    Two models at once would not fit where one just does: neither the plan nor what is measured may hold the model. The
    twin's weights are drawn from the room's `seed`, unless another one is given.
    """
    loaded = load_model(asked.model, device=asked.device)
    plan = prepare(loaded)
    with progress.step("trained weights"):
        measured = measure(loaded, plan)
    provenance = made_by(asked, loaded)
    del loaded
    twin = load_model(asked.model, device=asked.device, random_seed=asked.params["seed"] if seed is None else seed)
    with progress.step("random weights"):
        return Twins(plan, measured, control(twin, plan), provenance)
