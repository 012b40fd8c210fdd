"""Comparisons by hand on every kind, and the properties that no tolerance or interval may break."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replications.claims.compare import as_text, jaccard, judge, region
from replications.claims.schema import Criterion, Estimate
from replications.errors import Refusal

REASON = {"tolerance_reason": "hand example"}
finite = st.floats(-1e3, 1e3)
width = st.floats(0, 1e3)


def point(value, n=10):
    return Estimate(value=value, ci_low=None, ci_high=None, n=n)


def span(low, high, n=10):
    return Estimate(value=(low + high) / 2, ci_low=low, ci_high=high, n=n)


def within(published, tolerance):
    return Criterion(quantity="q", comparison="within", published=published, tolerance=tolerance, **REASON)


def bound(comparison, published, slack=None):
    reason = REASON if slack is not None else {}
    return Criterion(quantity="q", comparison=comparison, published=published, tolerance=slack, **reason)


SIGN = Criterion(quantity="q", comparison="sign", published="positive")
MINUS = Criterion(quantity="q", comparison="sign", published="-")
ORDER = Criterion(quantity=["a", "b", "c"], comparison="order")
TOP = Criterion(quantity="heads", comparison="argmax", published="L9H9")
SHARED = Criterion(quantity="q", comparison="overlap", published=["x", "y"], tolerance=0.5, **REASON)


@pytest.mark.parametrize(
    ("criterion", "estimate", "outcome"),
    [
        (
            within(2.1, 0.2),
            point(2.3),
            "holds",
        ),  # 2.1 + 0.2 is more than 2.3 in binary, and 2.1 - 0.2 more than 1.9
        (within(2.1, 0.2), point(1.9), "holds"),
        (within(2.1, 0.2), point(2.301), "fails"),
        (within(3.56, 0.1), point(3.66), "holds"),
        (within(5, 0), point(5.0), "holds"),
        (within(0, 1), span(-0.5, 1), "holds"),
        (within(0, 1), span(-0.5, 1.1), "inconclusive"),
        (within(0, 1), span(-2, 2), "inconclusive"),
        (within(0, 1), span(1.1, 2), "fails"),
        (within(0, 1), span(1, 2), "inconclusive"),
        (bound("at_least", 0.5), span(0.5, 0.9), "holds"),
        (bound("at_least", 0.5), span(0.4, 0.9), "inconclusive"),
        (bound("at_least", 0.5), span(0.1, 0.4), "fails"),
        (bound("at_least", 0.5, 0.1), point(0.4), "holds"),
        (bound("at_most", 0.5), span(-9, 0.5), "holds"),
        (bound("at_most", 0.5), span(-9, 0.6), "inconclusive"),
        (bound("at_most", 0.5, 0.1), point(0.6), "holds"),
        (bound("at_most", 0.5, 0.1), point(0.61), "fails"),
        (SIGN, span(0.1, 2), "holds"),
        (SIGN, span(0, 2), "inconclusive"),
        (SIGN, span(-1, 0), "fails"),
        (SIGN, point(0.0), "fails"),
        (MINUS, span(-2, -0.1), "holds"),
        (MINUS, span(0, 1), "fails"),
        (MINUS, span(-1, 0), "inconclusive"),
    ],
)
def test_one_number(criterion, estimate, outcome):
    judgement = judge(criterion, {"q": estimate})
    assert judgement.outcome == outcome
    assert (judgement.measured, judgement.ci_low, judgement.n) == (estimate.value, estimate.ci_low, 10)


@pytest.mark.parametrize(
    ("a", "b", "c", "outcome"),
    [
        (point(1), point(2), point(3), "holds"),
        (point(1), point(1), point(3), "fails"),
        (point(2), point(1), point(3), "fails"),
        (span(0, 1), span(1.1, 2), span(2.1, 3), "holds"),
        (span(0, 1), span(1, 2), span(2.1, 3), "inconclusive"),
        (span(0, 1.5), span(1, 2), span(3, 4), "inconclusive"),
        (span(0, 1.5), span(1, 2), span(0, 0.5), "fails"),
    ],
)
def test_order(a, b, c, outcome):
    judgement = judge(ORDER, {"c": c, "b": b, "a": a})
    assert judgement.outcome == outcome
    assert judgement.measured == ", ".join(f"{each.value:.4g}" for each in (a, b, c))


@pytest.mark.parametrize(
    ("heads", "outcome", "winner"),
    [
        ({"L9H9": point(3), "L0H0": point(1)}, "holds", "L9H9"),
        ({"L9H9": point(1), "L0H0": point(1)}, "fails", "L9H9"),
        ({"L9H9": point(1), "L0H0": point(2)}, "fails", "L0H0"),
        ({"L9H9": span(2, 3), "L0H0": span(0, 1), "L0H1": span(1, 1.5)}, "holds", "L9H9"),
        ({"L9H9": span(2, 3), "L0H0": span(0, 2.1)}, "inconclusive", "L9H9"),
        ({"L9H9": span(2, 3), "L0H0": span(3.5, 4), "L0H1": span(0, 2.1)}, "fails", "L0H0"),
        ({"L0H0": point(1)}, "fails", "L0H0"),
        ({"L9H9": point(1)}, "holds", "L9H9"),
    ],
)
def test_argmax(heads, outcome, winner):
    judgement = judge(TOP, heads)
    assert (judgement.outcome, judgement.measured) == (outcome, winner)


def test_argmax_of_a_label_the_stage_has_named():
    assert judge(TOP, {"heads_top": point("L9H9")}).outcome == "holds"
    assert judge(TOP, {"heads_top": point("L0H1")}).outcome == "fails"


def test_argmax_keys_that_are_numbers():
    layers = {"8": point(0.2), "9": point(0.7)}
    assert judge(Criterion(quantity="curve", comparison="argmax", published=9), layers).outcome == "holds"


@pytest.mark.parametrize(
    ("labels", "share", "outcome"),
    [(["x", "y"], 1, "holds"), (["x"], 0.5, "holds"), (["x", "z"], 1 / 3, "fails"), ([], 0, "fails")],
)
def test_overlap(labels, share, outcome):
    judgement = judge(SHARED, {"q": point(labels)})
    assert (judgement.outcome, judgement.measured) == (outcome, pytest.approx(share))


def test_jaccard_counts_labels_once_and_as_text():
    assert jaccard([1, 1, 2], ["2", "3"]) == pytest.approx(1 / 3)
    assert math.isnan(jaccard([], []))


@pytest.mark.parametrize("criterion", [within(0, 1), bound("at_least", -9), SIGN, MINUS, TOP, ORDER, SHARED])
def test_what_has_no_value_never_passes(criterion):
    judgement = judge(criterion, {path: point(None) for path in criterion.quantities})
    assert judgement.outcome == "fails"
    assert "not measurable" in judgement.reason


def test_one_unmeasured_member_spoils_the_group():
    assert judge(TOP, {"L9H9": point(1), "L0H0": point(None)}).outcome == "fails"
    assert judge(TOP, {}).outcome == "fails"


def test_the_point_alone_decides_on_the_own_model():
    straddling = {"q": span(0.4, 0.9)}
    assert judge(bound("at_least", 0.5), straddling).outcome == "inconclusive"
    assert judge(bound("at_least", 0.5), straddling, whole_interval=False).outcome == "holds"


@pytest.mark.parametrize("criterion", [within(0, 1), SIGN, SHARED])
def test_text_where_a_number_belongs_is_refused(criterion):
    with pytest.raises(Refusal, match="q holds 'L9H9'"):
        judge(criterion, {"q": point("L9H9")})


@pytest.mark.parametrize(
    ("criterion", "text"),
    [
        (within(3.56, 0.4), "3.56 ± 0.4"),
        (bound("at_least", 0.5), ">= 0.5"),
        (bound("at_most", 0.5, 0.1), "<= 0.5 (slack 0.1)"),
        (SIGN, "> 0"),
        (MINUS, "< 0"),
        (ORDER, "a < b < c"),
        (TOP, "largest: L9H9"),
        (SHARED, "x, y (overlap >= 0.5)"),
    ],
)
def test_criteria_read_as_text(criterion, text):
    assert as_text(criterion) == text


@given(finite, width, finite, width, width, width)
def test_a_wider_interval_never_decides(published, tolerance, low, size, more_below, more_above):
    """Widening can lose a verdict and never gain or flip one."""
    criterion = within(published, tolerance)
    narrow = judge(criterion, {"q": span(low, low + size)}).outcome
    wide = judge(criterion, {"q": span(low - more_below, low + size + more_above)}).outcome
    assert wide in (narrow, "inconclusive")


@given(finite, finite, width, width)
def test_a_higher_measurement_never_hurts_at_least(threshold, low, size, shift):
    rank = ["fails", "inconclusive", "holds"]
    criterion = bound("at_least", threshold)
    before = judge(criterion, {"q": span(low, low + size)}).outcome
    after = judge(criterion, {"q": span(low + shift, low + size + shift)}).outcome
    assert rank.index(after) >= rank.index(before)


@given(finite, finite, width)
def test_at_most_mirrors_at_least(threshold, low, size):
    least = judge(bound("at_least", threshold), {"q": span(low, low + size)}).outcome
    most = judge(bound("at_most", -threshold), {"q": span(-low - size, -low)}).outcome
    assert least == most


@given(finite, width, finite, width)
def test_more_tolerance_never_hurts(published, tolerance, value, extra):
    if judge(within(published, tolerance), {"q": point(value)}).outcome == "holds":
        assert judge(within(published, tolerance + extra), {"q": point(value)}).outcome == "holds"


@given(finite, width, finite, width)
def test_an_interval_is_judged_by_the_points_in_it(published, tolerance, low, size):
    """holds: every point satisfies the criterion. fails: none does. inconclusive: the points disagree."""
    where = region(within(published, tolerance))
    edges = sorted({low, low + size, where.low, where.high})
    candidates = edges + [(a + b) / 2 for a, b in pairwise(edges)]
    inside = {point in where for point in candidates if low <= point <= low + size}
    answer = {(True,): "holds", (False,): "fails", (False, True): "inconclusive"}[tuple(sorted(inside))]
    assert where.judge((low, low + size)) == answer


@given(finite, finite)
def test_two_quantities_in_order_agree_with_the_sign_of_their_difference(a, b):
    order = Criterion(quantity=["a", "b"], comparison="order")
    assert judge(order, {"a": point(a), "b": point(b)}).outcome == judge(SIGN, {"q": point(b - a)}).outcome
