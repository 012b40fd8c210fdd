"""Recompute a printed number from other printed numbers, and how far rounding alone can move the answer.

A printed 22.2 stands for some number in [22.15, 22.25]. What follows from several printed numbers is
therefore an interval too. A printed result agrees when its own interval and the recomputed one share a point:
rounding alone can then explain the difference. When they share none, no rounding explains the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from replications.audit.relations import RELATIONS, Formula

Sense = Literal["equals", "at_least", "at_most"]
Decimals = int | None  # how many decimals a number is printed with; None when it is exact
EPSILON = 1e-9  # two intervals that touch in decimal may miss each other by a float's last bit


@dataclass(frozen=True)
class Printed:
    """A number as printed; `half` is half a unit in its last printed digit (0 for exact counts)."""

    value: float
    half: float

    @property
    def low(self) -> float:
        return self.value - self.half

    @property
    def high(self) -> float:
        return self.value + self.half


@dataclass(frozen=True)
class Check:
    """One printed number beside what the page implies for it; [low, high] is what the roundings allow."""

    table: str
    row: str
    sense: Sense
    printed: Printed
    recomputed: float
    low: float
    high: float
    n: int

    @property
    def agrees(self) -> bool:
        """Whether some numbers that round to the printed ones satisfy the relation."""
        not_above = self.low <= self.printed.high + EPSILON
        not_below = self.high >= self.printed.low - EPSILON
        return {"equals": not_above and not_below, "at_least": not_below, "at_most": not_above}[self.sense]

    @property
    def slack(self) -> float:
        """How far apart printed and recomputed may be with rounding as the only cause."""
        return self.printed.half + max(self.high - self.recomputed, self.recomputed - self.low)

    @property
    def residual(self) -> float:
        """Printed minus recomputed."""
        return self.printed.value - self.recomputed


def printed(value: float, decimals: Decimals) -> Printed:
    """A number as the page has it, with what its rounding hides."""
    return Printed(value, 0.0 if decimals is None else 0.5 * 10.0**-decimals)


def propagate(relation: Formula, inputs: Sequence[Printed]) -> tuple[float, float, float]:
    """(value, low, high) of a relation over the box that the inputs' roundings span.

    The extremes are taken at the two corners towards which every input pushes the result up or down. That is
    exact for relations monotone in each input over the box, as ours are over boxes the size of a rounding.
    """
    values = [number.value for number in inputs]
    signs = [_slope(relation, values, i, number.half) for i, number in enumerate(inputs)]
    ends = [
        relation(*(n.value + direction * sign * n.half for n, sign in zip(inputs, signs, strict=True)))
        for direction in (-1, 1)
    ]
    value = relation(*values)
    return value, min(value, *ends), max(value, *ends)


def _slope(relation: Formula, values: Sequence[float], index: int, step: float) -> int:
    """+1, 0 or -1: which way the relation moves when one input rises by up to `step` to either side."""
    raised, lowered = list(values), list(values)
    raised[index] += step
    lowered[index] -= step
    change = relation(*raised) - relation(*lowered)
    return (change > 0) - (change < 0)


def check(
    table: str, row: str, relation: str, sense: Sense, numbers: Sequence[float], decimals: Sequence[Decimals]
) -> Check:
    """Check one row: `numbers` is the printed result, then the relation's inputs.

    `decimals` has one entry per number; its last entry stands for all that follow. Raises ValueError or
    ZeroDivisionError when the relation is not defined for these inputs.
    """
    places = [*decimals, *[decimals[-1]] * len(numbers)][: len(numbers)]
    result, *inputs = (printed(float(v), d) for v, d in zip(numbers, places, strict=True))
    value, low, high = propagate(RELATIONS[relation], inputs)
    return Check(table, row, sense, result, value, low, high, len(inputs))
