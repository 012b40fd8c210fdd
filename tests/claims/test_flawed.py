"""Evidence that lacks something, or holds something else: a row that says so, and no other row is lost."""

import json
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replications.claims.ledger import verdicts
from replications.claims.schema import Verdict

SMALL, OTHER = "smollm2-135m", "gemma-3-270m"
POSITIVE = {"quantity": "pairs.gain", "comparison": "sign", "published": "+"}


def in_one_room(checkout, block, model, tree, *claims):
    """The rows of a room with evidence for one model: those of `claims` and one of a claim that is always judged."""
    checkout.room("ioi", *claims, block(id="a.judged", quantity="fine", published=1.0, model=model))
    checkout.evidence("ioi", model, "en", tree | {"fine": {"value": 1.0, "ci_low": None, "ci_high": None, "n": 9}})
    *rows, judged = verdicts(checkout.root)
    assert judged["verdict"] == "reproduced"
    return rows


def test_a_quantity_that_the_own_model_lacks_has_its_row_and_stops_no_other(checkout, block, gain):
    (found,) = in_one_room(checkout, block, "gpt2", gain(2.0), block(quantity="pairs.loss"))
    assert (found["verdict"], found["reason"]) == ("not measurable", "the evidence has no pairs.loss")
    assert (found["measured"], found["n"]) == (None, None)


def test_of_several_quantities_those_that_are_missing_are_named(checkout, block, gain):
    order = block(quantity=["pairs.gain", "a", "b"], comparison="order", published=None, tolerance=None,
                  tolerance_reason=None)  # fmt: skip
    (found,) = in_one_room(checkout, block, "gpt2", gain(2.0), order)
    assert found["reason"] == "the evidence has no a, b"


def test_a_group_is_not_a_number(checkout, block, gain):
    (found,) = in_one_room(checkout, block, "gpt2", gain(2.0), block(quantity="pairs"))
    assert found["verdict"] == "not measurable"
    assert found["reason"] == "the evidence has pairs, but not as comparison within needs it"


def test_a_general_quantity_that_a_run_lacks_is_not_measurable_there(checkout, block, gain, estimate):
    checkout.room("ioi", block(general=POSITIVE))
    checkout.evidence("ioi", SMALL, "en", gain(2.0))
    checkout.evidence("ioi", OTHER, "en", {"pairs": {"loss": estimate(1.0)}})
    found = checkout.row(OTHER)
    assert (found["verdict"], found["reason"]) == ("not measurable", "the evidence has no pairs.gain")
    assert checkout.row(SMALL)["verdict"] == "holds"


@pytest.mark.parametrize("model", ["gpt2", SMALL])
def test_a_recorded_reason_says_why_it_is_not_measurable(checkout, block, estimate, model):
    checkout.room("ioi", block(general=POSITIVE))
    checkout.finding("ioi", model, "en", "not measurable", reason="an encoder has no next token")
    checkout.evidence("ioi", model, "en", {"pairs": {"loss": estimate(1.0)}})
    found = checkout.row(model)
    assert (found["verdict"], found["reason"]) == ("not measurable", "an encoder has no next token")


def test_text_compared_as_a_number_names_the_file(checkout, block, estimate):
    (found,) = in_one_room(checkout, block, "gpt2", {"pairs": {"gain": estimate("L9H9")}}, block())
    told = "reports/ioi/gpt2/en/metrics.json: pairs.gain holds 'L9H9', which cannot be compared as a number"
    assert (found["verdict"], found["reason"]) == ("not measurable", told)


@pytest.mark.parametrize(
    "comparison",
    [
        {"comparison": "argmax", "quantity": "pairs", "published": "gain"},
        {"comparison": "order", "quantity": ["fine", "pairs.gain"], "published": None},
        {"comparison": "sign", "published": "+"},
    ],
)
@pytest.mark.parametrize("value", [["L9H9"], [1.0, 2.0]])
def test_a_list_where_a_number_belongs_has_its_row(checkout, block, estimate, comparison, value):
    asked = block(**{"tolerance": None, "tolerance_reason": None} | comparison)
    (found,) = in_one_room(checkout, block, "gpt2", {"pairs": {"gain": estimate(value)}}, asked)
    assert found["verdict"] == "not measurable"


def test_one_wrong_estimate_leaves_the_others_of_its_file(checkout, block, estimate):
    wrong = estimate(True)
    (found,) = in_one_room(checkout, block, "gpt2", {"pairs": {"gain": wrong}}, block())
    told = "measured.pairs.gain.value should be a finite number, text, a list of these or null, not true"
    assert (found["verdict"], found["reason"]) == (
        "not measurable", f"reports/ioi/gpt2/en/metrics.json: {told}"
    )  # fmt: skip


def test_a_damaged_file_leaves_the_other_runs(checkout, block, gain):
    checkout.room("ioi", block(general=POSITIVE))
    checkout.room("rome", block(id="other.claim"))
    file = checkout.evidence("ioi", SMALL, "en", gain(2.0))
    checkout.evidence("ioi", OTHER, "en", gain(2.0))
    checkout.evidence("rome", "gpt2", "en", gain(2.0))
    file.write_text(file.read_text()[:30])
    found = checkout.row(SMALL)
    assert found["verdict"] == "not measurable"
    assert found["reason"].startswith(f"reports/ioi/{SMALL}/en/metrics.json is not whole evidence (")
    assert found["reason"].endswith("rebuild it with `dvc repro --force ioi@smol-en`")
    assert [found["verdict"] for found in verdicts(checkout.root)] == [
        "not re-run here",
        "holds",
        "not measurable",
        "reproduced",
    ]


def test_a_run_of_a_model_that_the_catalogue_does_not_know_is_judged(checkout, block, gain):
    checkout.room("rome", block(general=POSITIVE, scope={"kind": "decoder"}))
    checkout.evidence("rome", "my-model", "en", gain(2.0))
    assert checkout.row("my-model")["verdict"] == "holds"


def test_half_a_character_can_be_written(checkout, block, estimate):
    named = block(quantity="top", comparison="argmax", published="x", tolerance=None, tolerance_reason=None)
    checkout.room("ioi", named)
    checkout.evidence("ioi", "gpt2", "en", {"top": estimate("\ud83d")})
    assert checkout.row()["measured"] == "\\ud83d"


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
leaves = st.fixed_dictionaries(
    {}, optional={name: scalars | st.lists(scalars, max_size=2) for name in ("value", "ci_low", "ci_high", "n", "x")}
)
trees = st.recursive(
    scalars | leaves | st.builds(lambda value, n: {"value": value, "ci_low": None, "ci_high": None, "n": n},
                                 scalars, st.integers(0, 3)),
    lambda below: st.dictionaries(st.sampled_from(["pairs", "gain", "measured", "control", "value"]), below, max_size=4)
    | st.lists(below, max_size=2),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.builds(lambda tree: json.dumps({"measured": tree}), trees) | st.builds(json.dumps, trees) | st.text())
def test_whatever_a_file_holds_every_claim_has_its_row(checkout, block, text):
    free = {"tolerance": None, "tolerance_reason": None}
    file = checkout.root / "reports" / "ioi" / "gpt2" / "en" / "metrics.json"
    if not file.exists():
        checkout.evidence("ioi", "gpt2", "en", {})
        checkout.room(
            "ioi",
            block(id="a.within", general=POSITIVE),
            block(id="a.top", quantity="pairs", comparison="argmax", published="gain", **free),
            block(id="a.order", quantity=["pairs.gain", "gain"], comparison="order", published=None, **free),
            block(id="a.set", quantity="pairs.gain", comparison="overlap", published=["x"]),
        )
    file.write_text(text, encoding="utf-8")
    rows = verdicts(checkout.root)
    assert [row["claim"] for row in rows] == ["a.within", "a.top", "a.order", "a.set"]
    assert {row["verdict"] for row in rows} <= set(get_args(Verdict))
    assert all(row["reason"] for row in rows if row["verdict"] == "not measurable")
