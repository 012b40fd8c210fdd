"""Holding a measurement against a criterion. Pure: estimates in, judgement out.

Every comparison is reduced to the same question. The criterion names a region of the real line, the
measurement is an interval, and the interval lies inside the region (holds), outside it (fails) or across its
edge (inconclusive). A measurement without an interval is the interval [value, value]. `order` and `argmax`
ask it of the differences that must be positive; the difference of two intervals is taken at its widest, which
is stricter than a paired test and needs nothing but the evidence.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Literal

from replications.claims.schema import SIGNS, Criterion, Estimate
from replications.errors import Refusal

Ruling = Literal["holds", "fails", "inconclusive"]
Estimates = Mapping[str, Estimate]  # estimates by label: the key within an arg-max group, else the path
Interval = tuple[float, float]


@dataclass(frozen=True)
class Judgement:
    """An outcome and what was measured; `ci_low`, `ci_high` are None when the measurement has no interval."""

    outcome: Ruling
    measured: float | str
    ci_low: float | None
    ci_high: float | None
    n: int
    reason: str = ""


@dataclass(frozen=True)
class Region:
    """The numbers that satisfy a criterion: between `low` and `high`, ends included when `closed`."""

    low: float
    high: float
    closed: bool = True

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high if self.closed else self.low < value < self.high

    def judge(self, interval: Interval) -> Ruling:
        """holds: all of the interval is in the region. fails: none of it is. inconclusive: some of it is."""
        low, high = interval
        if low in self and high in self:
            return "holds"
        beyond = high < self.low or low > self.high
        touching = not self.closed and (high == self.low or low == self.high)
        return "fails" if beyond or touching else "inconclusive"


POSITIVE = Region(0, math.inf, closed=False)
NEGATIVE = Region(-math.inf, 0, closed=False)


def judge(criterion: Criterion, found: Estimates, whole_interval: bool = True) -> Judgement:
    """Hold the estimates against the criterion.

    whole_interval: the 95 % interval decides, as on models the claim is not about; otherwise the point value
    does, as on the claim's own model. A missing value always fails, and the reason says so. Refuses an estimate of the
    wrong kind (text where a number is compared).
    """
    unmeasurable = [label for label, estimate in found.items() if estimate.value is None]
    if unmeasurable or not found:
        reason = f"not measurable: {', '.join(unmeasurable) or 'the estimate'} is not a finite number"
        return Judgement("fails", math.nan, None, None, _n(found), reason)
    if criterion.comparison == "overlap":
        return _judge_overlap(criterion, found)
    if criterion.comparison == "argmax":
        return _judge_argmax(criterion, found, whole_interval)
    if criterion.comparison == "order":
        return _judge_order(criterion, found, whole_interval)
    ((label, estimate),) = found.items()
    outcome = region(criterion).judge(_interval(label, estimate, whole_interval))
    return Judgement(outcome, _number(label, estimate), estimate.ci_low, estimate.ci_high, estimate.n)


def region(criterion: Criterion) -> Region:
    """The numbers that satisfy within, at_least, at_most or sign.

    Ends are added in decimal: 2.1 + 0.2 ends at 2.3 as printed, not at 2.3000000000000003.
    """
    if criterion.comparison == "sign":
        return POSITIVE if SIGNS[criterion.published] > 0 else NEGATIVE
    published, slack = Decimal(str(criterion.published)), Decimal(str(criterion.tolerance or 0))
    low = -math.inf if criterion.comparison == "at_most" else float(published - slack)
    high = math.inf if criterion.comparison == "at_least" else float(published + slack)
    return Region(low, high)


def as_text(criterion: Criterion) -> str:
    """The criterion as a reader would write it, for example `>= 0.5` or `3.56 ± 0.4`."""
    published, slack = criterion.published, f"{criterion.tolerance or 0:g}"
    match criterion.comparison:
        case "within":
            return f"{published} ± {slack}"
        case "at_least" | "at_most":
            bound = ">=" if criterion.comparison == "at_least" else "<="
            return f"{bound} {published}" + (f" (slack {slack})" if criterion.tolerance else "")
        case "sign":
            return "> 0" if published in ("+", "positive") else "< 0"
        case "order":
            return " < ".join(criterion.quantities)
        case "argmax":
            return f"largest: {published}"
    return f"{', '.join(map(str, published))} (overlap >= {slack})"


def jaccard(left: Sequence, right: Sequence) -> float:
    """Shared labels over all labels, duplicates counted once, compared as text. NaN when both are empty."""
    a, b = set(map(str, left)), set(map(str, right))
    return len(a & b) / len(a | b) if a | b else math.nan


def _judge_overlap(criterion: Criterion, found: Estimates) -> Judgement:
    ((label, estimate),) = found.items()
    if not isinstance(estimate.value, list):
        raise Refusal(f"{label} holds {estimate.value!r}; comparison overlap needs a list of labels")
    share = jaccard(estimate.value, criterion.published)
    outcome = Region(criterion.tolerance or 0.0, math.inf).judge((share, share))
    return Judgement(outcome, share, None, None, estimate.n)


def _judge_order(criterion: Criterion, found: Estimates, whole_interval: bool) -> Judgement:
    intervals = [_interval(path, found[path], whole_interval) for path in criterion.quantities]
    outcome = _all_of([POSITIVE.judge(_difference(high, low)) for low, high in pairwise(intervals)])
    measured = ", ".join(f"{found[path].value:.4g}" for path in criterion.quantities)
    return Judgement(outcome, measured, None, None, _n(found))


def _judge_argmax(criterion: Criterion, found: Estimates, whole_interval: bool) -> Judgement:
    wanted = str(criterion.published)
    labels = [estimate.value for estimate in found.values()]
    if len(labels) == 1 and isinstance(labels[0], str):  # the stage already names the winner
        return Judgement("holds" if labels[0] == wanted else "fails", labels[0], None, None, _n(found))
    intervals = {key: _interval(key, estimate, whole_interval) for key, estimate in found.items()}
    winner = max(found, key=lambda key: _number(key, found[key]))
    if wanted not in found:
        return Judgement("fails", winner, None, None, _n(found), f"there is no {wanted} here")
    rivals = [interval for key, interval in intervals.items() if key != wanted]
    outcome = _all_of([POSITIVE.judge(_difference(intervals[wanted], rival)) for rival in rivals])
    return Judgement(outcome, winner, None, None, _n(found))


def _all_of(outcomes: list[Ruling]) -> Ruling:
    """The outcome of a conjunction: one failure fails it, one doubt leaves it open."""
    return next((outcome for outcome in ("fails", "inconclusive") if outcome in outcomes), "holds")


def _difference(larger: Interval, smaller: Interval) -> Interval:
    return larger[0] - smaller[1], larger[1] - smaller[0]


def _interval(label: str, estimate: Estimate, whole: bool) -> Interval:
    """[value, value] for a point."""
    value = _number(label, estimate)
    if not whole or estimate.ci_low is None or estimate.ci_high is None:
        return value, value
    return estimate.ci_low, estimate.ci_high


def _number(label: str, estimate: Estimate) -> float:
    if not isinstance(estimate.value, float):
        raise Refusal(f"{label} holds {estimate.value!r}, which cannot be compared as a number")
    return estimate.value


def _n(found: Estimates) -> int:
    return min((estimate.n for estimate in found.values()), default=0)
