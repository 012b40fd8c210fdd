"""Numbers come into words from the evidence, in one form, or the words are refused."""

import pytest

from replications.claims.evidence import Evidence, Flaw
from replications.claims.reasons import check, filled, made
from replications.claims.schema import Estimate
from replications.errors import Refusal


def estimate(value, low=None, high=None, n=64):
    return Estimate(value=value, ci_low=low, ci_high=high, n=n)


ROW = {"measured": 0.123456, "ci_low": -0.5, "ci_high": 1.0, "n": 65536, "control": None}
EVIDENCE = Evidence(
    file=None,
    measured={"topk": {"loss": estimate(0.35333, 0.22, 0.48, 24), "top": estimate("L9H9"), "bad": Flaw("bad"),
                       "heads": estimate(["9.9", 3.0]), "none": estimate(None, n=0)}},
    control={"topk": {"loss": estimate(2.0)}},
)  # fmt: skip


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("no number", "no number"),
        ("{measured} ({interval}) of {n}", "0.1235 (-0.5 to 1) of 65536"),
        ("{control}", "no value"),
        ("{{measured}}", "{measured}"),
        ("{measured:topk.loss} ({interval:topk.loss}), n = {n:topk.loss}", "0.3533 (0.22 to 0.48), n = 24"),
        ("{control:topk.loss} ({interval:topk.top})", "2 (no interval)"),
        ("{measured:topk.top}, {measured:topk.heads}", "L9H9, 9.9, 3"),
        ("{measured:topk.none} {measured:topk.bad} {measured:topk.bad.deeper}", "no value no value no value"),
    ],
)
def test_a_template_is_filled_from_its_row_and_the_run(template, text):
    check(template)
    assert filled(template, ROW, EVIDENCE, "file") == text


@pytest.mark.parametrize("name", ["measured:topk", "measured:topk.lost", "control:topk.top", "n:topk.loss.value"])
def test_what_names_no_quantity_is_refused_with_what_there_is(name):
    said = rf"^file: reason: .{name}. names no quantity of the run; nearest: .*; without a path: measured, interval"
    with pytest.raises(Refusal, match=said):
        filled(f"{{{name}}}", ROW, EVIDENCE, "file")


def test_without_evidence_there_is_no_number():
    assert filled("{measured:topk.loss}", ROW, None, "file") == "no value"


@pytest.mark.parametrize(
    ("row", "why", "text"),
    [
        ({}, "", "0.1235 (-0.5 to 1, n = 65536), where > 0 is asked"),
        ({"control": 2.0}, "because", "0.1235 (-0.5 to 1, n = 65536, control 2), where > 0 is asked: because"),
        ({"measured": "L9H9", "ci_low": None, "control": float("nan")}, "", "L9H9 (n = 65536), where > 0 is asked"),
    ],
)
def test_numbers_make_a_reason_by_themselves(row, why, text):
    assert made(ROW | row, "> 0", why) == text
