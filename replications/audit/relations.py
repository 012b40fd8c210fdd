"""The relations that papers state between their own printed numbers. Pure; plain floats in, one float out.

Percentages are numbers from 0 to 100. A relation's name is what `tables.yaml` calls it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isnan, sqrt
from statistics import fmean, harmonic_mean

from replications.probing import series
from replications.probing.series import Floats

Formula = Callable[..., float]


def same(value: float) -> float:
    """The number itself: one place quotes another."""
    return value


def total(*parts: float) -> float:
    return sum(parts)


def mean(*values: float) -> float:
    return fmean(values)


def score(*rates: float) -> float:
    """Harmonic mean: ROME's S from ES, PS and NS (Meng et al. 2022, section 3.4)."""
    return harmonic_mean(rates)


def difference(a: float, b: float) -> float:
    """a - b: total and indirect effects, selectivity, faithfulness gap."""
    return a - b


def points(a: float, b: float) -> float:
    """a - b of two fractions, in percentage points."""
    return 100 * (a - b)


def share(part: float, *factors: float) -> float:
    """`part` as a percentage of the product of `factors`."""
    whole = 1.0
    for factor in factors:
        whole *= factor
    return 100 * part / whole


def kept(gap: float, whole: float) -> float:
    """What remains of `whole` after losing `gap`, in percent."""
    return 100 * (1 - gap / whole)


def change(before: float, after: float, whole: float) -> float:
    """Size of a change as a percentage of `whole`: minimality (Wang et al. 2022, section 4.2)."""
    return 100 * abs(after - before) / whole


def remaining(whole: float, lost: float) -> float:
    """`whole` less `lost` percent of it."""
    return whole * (1 - lost / 100)


def weighted_total(*pairs: float) -> float:
    """Sum of count x size over (count, size, count, size, ...)."""
    return sum(count * size for count, size in zip(pairs[::2], pairs[1::2], strict=True))


def half_width(rate: float, n: float) -> float:
    """95 % normal half-width, in percentage points, of a rate (in percent) over n yes-or-no outcomes."""
    rate = min(max(rate, 0.0), 100.0)
    return 1.96 * sqrt(rate * (100 - rate) / n)


def half_width_share(printed: float, rate: float, n: float) -> float:
    """A printed half-width over the widest one that scores between 0 and 100 with this mean can have."""
    return printed / half_width(rate, n)


def implied_positions(pairs: float, heads: float, percent: float) -> float:
    """Positions per prompt for which `pairs` are `percent` of all (head, position) pairs."""
    return pairs / (heads * percent / 100)


def position_effect(*cells: float) -> float:
    """Least-squares position weight of six cells: position sign +1, -1 for each token sign +1, 0, -1."""
    return sum(cells[::2]) / 6 - sum(cells[1::2]) / 6


def token_effect(*cells: float) -> float:
    """Least-squares token weight of the same six cells."""
    return (cells[0] + cells[1] - cells[4] - cells[5]) / 4


def _rule_errors(position: float, token: float, cells: tuple[float, ...]) -> list[float]:
    signs = [(s, t) for t in (1, 0, -1) for s in (1, -1)]
    return [abs(cell - s * position - t * token) for (s, t), cell in zip(signs, cells, strict=True)]


def rule_error_of_whole(position: float, token: float, whole: float, *cells: float) -> float:
    """Mean absolute error of the linear rule over the six cells, in percent of `whole`."""
    return 100 * fmean(_rule_errors(position, token, cells)) / whole


def rule_error_of_cell(position: float, token: float, *cells: float) -> float:
    """Mean over the six cells of the linear rule's error in percent of that cell."""
    errors = _rule_errors(position, token, cells)
    return 100 * fmean(error / abs(cell) for error, cell in zip(errors, cells, strict=True))


def _defined(value: Floats) -> float:
    """The number; a ratio of nothing to nothing is an error, as it is in plain floats."""
    if isnan(value):
        raise ZeroDivisionError("nothing is gained, or no weight is positive")
    return float(value)


def expected_layer(*scores: float) -> float:
    """Gain-weighted mean layer of cumulative scores at layers 0..L (Tenney, Das & Pavlick 2019); layers."""
    return _defined(series.expected_layer(scores))


def gain_bits(*scores: float) -> float:
    """KL divergence, in bits, of the positive gains over layers 1..L from uniform."""
    return _defined(series.gain_bits(scores))


def center_of_gravity(*weights: float) -> float:
    """Weighted mean layer of scalar-mix weights at layers 0..L; layers."""
    return _defined(series.center_of_gravity(weights))


def mix_bits(*weights: float) -> float:
    """KL divergence, in bits, of scalar-mix weights over layers 0..L from uniform."""
    return _defined(series.mix_bits(weights))


_LISTED = (
    same, total, mean, score, difference, points, share, kept, change, remaining, weighted_total,
    half_width, half_width_share, implied_positions, position_effect, token_effect,
    rule_error_of_whole, rule_error_of_cell, expected_layer, gain_bits, center_of_gravity, mix_bits,
)  # fmt: skip
RELATIONS: dict[str, Formula] = {relation.__name__: relation for relation in _LISTED}
