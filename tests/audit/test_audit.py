"""Rounding, carried through a relation: what is on the page can never exclude what was rounded."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from replications.audit.audit import Check, check, printed, propagate
from replications.audit.relations import RELATIONS
from replications.audit.tables import read_tables

TABLES = read_tables()
unrounded = st.floats(1.0, 99.0)


@given(unrounded, st.integers(0, 4))
def test_a_printed_number_never_excludes_what_was_rounded(value, decimals):
    number = printed(round(value, decimals), decimals)
    assert number.low - 1e-9 <= value <= number.high + 1e-9
    assert number.half == pytest.approx(0.5 * 10**-decimals)


def test_an_exact_number_has_no_slack():
    assert printed(26, None).low == printed(26, None).high == 26


@given(st.sampled_from(["score", "share", "kept", "difference", "mean", "total"]), st.data())
def test_the_true_result_is_inside_the_interval(name, data):
    count = 3 if name in ("score", "mean", "total") else 2
    truth = data.draw(st.lists(unrounded, min_size=count, max_size=count))
    decimals = data.draw(st.integers(0, 3))
    value, low, high = propagate(RELATIONS[name], [printed(round(x, decimals), decimals) for x in truth])
    assume(all(round(x, decimals) >= 1 for x in truth))
    assert low <= value <= high
    assert low - 1e-9 <= RELATIONS[name](*truth) <= high + 1e-9


@given(st.data())
def test_no_table_excludes_numbers_that_round_to_it(data):
    """The corners found by `propagate` bound every relation in use, over the boxes it is used on."""
    table = TABLES[data.draw(st.sampled_from(sorted(TABLES)))]
    numbers = table.rows[data.draw(st.sampled_from(sorted(table.rows)))]
    places = [*table.decimals, *[table.decimals[-1]] * len(numbers)]
    inputs = [printed(value, place) for value, place in zip(numbers[1:], places[1:], strict=False)]
    inside = [data.draw(st.floats(number.low, number.high)) for number in inputs]
    _, low, high = propagate(RELATIONS[table.relation], inputs)
    assert low - 1e-9 <= RELATIONS[table.relation](*inside) <= high + 1e-9


@given(st.lists(unrounded, min_size=3, max_size=3))
def test_a_row_rounded_from_a_true_relation_always_agrees(parts):
    numbers = [round(x, 1) for x in (RELATIONS["score"](*parts), *parts)]
    assert check("t", "r", "score", "equals", numbers, [1]).agrees


def test_touching_intervals_agree_and_parted_ones_do_not():
    assert check("t", "r", "same", "equals", [0.869, 0.868], [3]).agrees
    assert not check("t", "r", "same", "equals", [0.870, 0.868], [3]).agrees


@pytest.mark.parametrize(("sense", "below", "above"), [("at_least", False, True), ("at_most", True, False)])
def test_a_bound_is_crossed_on_one_side_only(sense, below, above):
    assert check("t", "r", "same", sense, [10, 9.0], [None, 1]).agrees is below
    assert check("t", "r", "same", sense, [10, 11.0], [None, 1]).agrees is above
    assert check("t", "r", "same", sense, [10, 10.0], [None, 1]).agrees


def test_the_last_entry_of_decimals_stands_for_the_rest():
    two = check("t", "r", "total", "equals", [3.0, 1.0, 1.0, 1.0], [1, 2])
    assert (two.n, two.printed.half) == (3, 0.05)
    assert two.slack == pytest.approx(0.05 + 3 * 0.005)


def test_slack_covers_the_wider_side_of_an_uneven_interval():
    uneven = Check("t", "r", "equals", printed(1.0, 1), 1.2, 1.0, 1.25, 2)
    assert uneven.slack == pytest.approx(0.05 + 0.2)
    assert uneven.residual == pytest.approx(-0.2)
