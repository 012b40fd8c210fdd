"""From a miniature checkout to verdicts: every row, every reason, every refusal."""

import pytest

from replications.claims.findings import Finding
from replications.claims.ledger import (
    COLUMNS,
    all_claims,
    all_findings,
    expected,
    load_claims,
    load_findings,
    rooms,
    run_verdicts,
    verdicts,
)
from replications.claims.schema import Claim
from replications.errors import Refusal

SMALL, OTHER = "smollm2-135m", "gemma-3-270m"
POSITIVE = {"quantity": "pairs.gain", "comparison": "sign", "published": "+"}


def column(checkout, name):
    return [row[name] for row in verdicts(checkout.root)]


def test_rooms_have_claims_and_a_stage(checkout, block):
    assert rooms(checkout.root) == []
    checkout.room("rome", block())
    checkout.room("ioi", block(id="other.claim"))
    (checkout.root / "replications" / "claims").mkdir()
    checkout.room("draft", block()).unlink()
    checkout.room("idea", block())
    (checkout.root / "replications" / "idea" / "stage.py").unlink()
    assert rooms(checkout.root) == ["ioi", "rome"]
    assert [claim.id for claim in all_claims(checkout.root)["ioi"]] == ["other.claim"]


def test_without_rooms_the_table_is_empty_and_a_row_has_all_columns(checkout, block):
    assert verdicts(checkout.root) == []
    checkout.room("rome", block())
    assert list(checkout.row()) == COLUMNS


@pytest.mark.parametrize(
    ("value", "verdict", "reason"),
    [
        (2.5, "reproduced", ""),
        (2.6, "not reproduced", "2.6 (0 to 9, n = 64, control 0.1), where 2.0 ± 0.5 is asked"),
    ],
)
def test_on_the_own_model_the_point_decides(checkout, block, gain, value, verdict, reason):
    checkout.room("rome", block())
    checkout.evidence("rome", "gpt2", "en", gain(value, 0.0, 9.0), gain(0.1))
    place = {"claim": "paper2022.gain", "replication": "rome", "model": "gpt2", "language": "en"}
    numbers = {"published": 2.0, "measured": value, "ci_low": 0.0, "ci_high": 9.0, "n": 64, "control": 0.1}
    assert checkout.row() == place | numbers | {"verdict": verdict, "asserted": True, "reason": reason}


def test_the_own_model_is_judged_by_its_own_form_even_where_the_control_shows_it(checkout, block, gain):
    checkout.room("rome", block(general=POSITIVE))
    checkout.evidence("rome", "gpt2", "en", gain(2.0), gain(2.0))
    assert checkout.row()["verdict"] == "reproduced"


@pytest.mark.parametrize(
    ("measured", "control", "verdict", "reason"),
    [
        ((1.0, 0.5, 1.5), (0.0, -0.1, 0.1), "holds", ""),
        ((1.0, 0.5, 1.5), None, "holds", ""),
        ((1.0, -0.5, 2.5), (0.0, -0.1, 0.1), "inconclusive",
         "1 (-0.5 to 2.5, n = 64, control 0), where > 0 is asked: the 95 % interval straddles the criterion"),
        ((1.0, 0.5, 1.5), (0.9, 0.1, 1.7), "inconclusive",
         "1 (0.5 to 1.5, n = 64, control 0.9), where > 0 is asked: the control shows it too"),
        ((-1.0, -1.5, -0.5), (0.9, 0.1, 1.7), "fails", "-1 (-1.5 to -0.5, n = 64, control 0.9), where > 0 is asked"),
        ((-1.0, None, None), (None, None, None), "fails", "-1 (n = 64), where > 0 is asked"),
        ((None, None, None), (0.9, 0.1, 1.7), "fails", "not measurable: pairs.gain is not a finite number"),
        ((1.0, 0.5, 1.5), (None, None, None), "holds", ""),
    ],
)  # fmt: skip
def test_elsewhere_the_interval_and_the_control_decide(checkout, block, gain, measured, control, verdict, reason):
    checkout.room("rome", block(general=POSITIVE))
    checkout.evidence("rome", SMALL, "en", gain(*measured), control and gain(*control))
    found = checkout.row(SMALL)
    assert (found["verdict"], found["reason"], found["published"]) == (verdict, reason, "+")


def test_elsewhere_needs_the_general_form(checkout, block, gain):
    checkout.room("rome", block())
    checkout.evidence("rome", SMALL, "en", gain(2.0))
    assert checkout.row()["verdict"] == "not re-run here"


def test_another_language_of_the_own_model_is_elsewhere(checkout, block, gain):
    checkout.room("rome", block(model=OTHER, general=POSITIVE))
    checkout.evidence("rome", OTHER, "en", gain(2.0))
    checkout.evidence("rome", OTHER, "fr", gain(-1.0, -2.0, -0.5))
    assert column(checkout, "verdict") == ["reproduced", "fails"]


@pytest.mark.parametrize(
    ("scope", "asked"),
    [
        ({}, [(OTHER, "en"), (OTHER, "fr"), ("minilm-l6", "en")]),
        ({"languages": ["en"]}, [(OTHER, "en"), ("minilm-l6", "en")]),
        ({"kind": "encoder"}, [("minilm-l6", "en")]),
        ({"languages": ["fr"], "kind": "decoder"}, [(OTHER, "fr")]),
    ],
)
def test_the_general_form_is_asked_within_its_scope_only(checkout, block, gain, scope, asked):
    checkout.room("rome", block(general=POSITIVE, scope=scope))
    for place in ((OTHER, "en"), (OTHER, "fr"), ("minilm-l6", "en")):
        checkout.evidence("rome", *place, gain(2.0, 1.0, 3.0))
    rows = verdicts(checkout.root)
    assert [(row["model"], row["language"]) for row in rows if row["verdict"] == "holds"] == asked
    assert len(rows) == len(asked) + 1  # and the paper's own model


def test_a_finding_outside_the_scope_is_refused(checkout, block):
    checkout.room("ioi", block(general=POSITIVE, scope={"languages": ["en"]}))
    file = checkout.finding("ioi", OTHER, "fr", "fails")
    with pytest.raises(Refusal, match=rf"{file}: ioi: paper2022.gain: fr: the claim's scope leaves that out"):
        load_findings("ioi", checkout.root)


def test_without_evidence_the_row_says_why(checkout, block):
    checkout.room("ioi", block())
    found = checkout.row()
    assert found["verdict"] == "not re-run here"
    assert found["reason"].startswith("no evidence for gpt2: ")
    assert found["measured"] is None


def test_a_recorded_finding_lends_its_reason(checkout, block, gain):
    checkout.room("rome", block(general=POSITIVE))
    checkout.finding("rome", "gpt2", "en", "not reproduced", reason="axis swap")
    checkout.finding("rome", SMALL, "en", "fails", reason="too small")
    checkout.finding("rome", OTHER, "en", "fails")
    checkout.evidence("rome", "gpt2", "en", gain(9.0))
    checkout.evidence("rome", OTHER, "en", gain(-1.0))
    checkout.evidence("rome", SMALL, "en", gain(2.0))
    made = "-1 (n = 64), where > 0 is asked"
    assert column(checkout, "verdict") == ["not reproduced", "fails", "holds"]
    assert column(checkout, "reason") == ["axis swap", made, ""]  # what no longer stands explains nothing
    file = checkout.root / "reports" / "rome" / "gpt2" / "en" / "metrics.json"
    assert [row["reason"] for row in run_verdicts("rome", file, checkout.root)] == ["axis swap"]


def test_the_numbers_in_a_reason_are_those_of_the_evidence(checkout, block, estimate):
    checkout.room("rome", block(general=POSITIVE))
    checkout.finding("rome", SMALL, "en", "fails", reason="{measured} of {n}; {measured:pairs.loss} is {{lost}}")
    measured = {"pairs": {"gain": estimate(-1.0, -2.0, -0.5), "loss": estimate(0.25)}}
    checkout.evidence("rome", SMALL, "en", measured)
    assert checkout.row(SMALL)["reason"] == "-1 of 64; 0.25 is {lost}"


def test_a_number_that_the_evidence_does_not_have_names_file_and_claim(checkout, block, gain):
    checkout.room("rome", block(general=POSITIVE))
    file = checkout.finding("rome", SMALL, "en", "fails", reason="{measured:pairs.gian}")
    checkout.evidence("rome", SMALL, "en", gain(-1.0))
    told = rf"{file}: rome: paper2022.gain: en: reason: .*pairs.gian. names no quantity of the run; nearest: pairs.gain"
    with pytest.raises(Refusal, match=told):
        verdicts(checkout.root)


def test_a_damaged_file_stops_no_reason_that_asks_it_for_a_number(checkout, block, gain):
    checkout.room("rome", block(general=POSITIVE))
    checkout.finding("rome", SMALL, "en", "not measurable", reason="lost, with {measured:pairs.loss}")
    checkout.evidence("rome", SMALL, "en", gain(-1.0)).write_text("{")
    assert checkout.row(SMALL)["reason"] == "lost, with no value"


def test_expected_is_the_finding_or_the_default(block):
    claim, findings = Claim(**block(general=POSITIVE)), {("paper2022.gain", SMALL, "en"): Finding(verdict="fails")}
    assert expected(claim, "gpt2", "en", findings) == "reproduced"
    assert expected(claim, SMALL, "en", findings) == "fails"
    assert expected(claim, OTHER, "en", findings) == "holds"


def test_memory_is_listed_and_not_asserted(checkout, block, gain):
    memory = {"source_kind": "memory", "seen_at": ""}
    checkout.room("rome", block(confidence="memory", provenance=memory))
    checkout.evidence("rome", "gpt2", "en", gain(2.0))
    assert checkout.row()["asserted"] is False


def test_groups_orders_and_overlaps_reach_their_leaves(checkout, block, estimate):
    free = {"tolerance": None, "tolerance_reason": None}
    checkout.room(
        "ioi",
        block(id="a.top", quantity="heads", comparison="argmax", published="L9H9", **free),
        block(id="a.named", quantity="top", comparison="argmax", published="L9H9", **free),
        block(id="a.order", quantity=["heads.L0H0", "heads.L9H9"], comparison="order", published=None, **free),
        block(id="a.set", quantity="best", comparison="overlap", published=["L9H9", "L9H6"]),
    )
    heads = {"L9H9": estimate(0.3), "L0H0": estimate(0.1)}
    measured = {"heads": heads, "top": estimate("L9H9"), "best": estimate(["L9H9", "L9H6", "L1H1"])}
    checkout.evidence("ioi", "gpt2", "en", measured)
    assert set(column(checkout, "verdict")) == {"reproduced"}
    assert column(checkout, "measured") == ["L9H9", "L9H9", "0.1, 0.3", 0.666667]
    assert column(checkout, "published") == ["L9H9", "L9H9", "heads.L0H0 < heads.L9H9", "L9H9, L9H6"]


def test_rows_come_in_the_order_of_rooms_files_and_models(checkout, block, gain):
    checkout.room("rome", block(id="b.two", general=POSITIVE), block(id="b.one"))
    checkout.room("ioi", block(id="a.only"))
    for model, language in (("gpt2", "en"), (SMALL, "en"), (OTHER, "fr"), (OTHER, "en")):
        checkout.evidence("rome", model, language, gain(2.0))
    rows = verdicts(checkout.root)
    assert [(row["claim"], row["model"], row["language"]) for row in rows] == [
        ("a.only", "gpt2", "en"),
        ("b.two", "gpt2", "en"), ("b.two", OTHER, "en"), ("b.two", OTHER, "fr"), ("b.two", SMALL, "en"),
        ("b.one", "gpt2", "en"),
    ]  # fmt: skip
    assert rows == verdicts(checkout.root)


def test_a_duplicate_id_names_both_files(checkout, block):
    first, second = checkout.room("ioi", block()), checkout.room("rome", block())
    with pytest.raises(Refusal, match=f"paper2022.gain is used twice, in {first} and in {second}"):
        all_claims(checkout.root)


def test_a_duplicate_id_within_a_file_is_refused(checkout, block):
    checkout.room("ioi", block(), block())
    with pytest.raises(Refusal, match=r"paper2022\.gain is used twice"):
        load_claims("ioi", checkout.root)


@pytest.mark.parametrize(
    ("place", "verdict", "said"),
    [
        ((SMALL, "zh"), "fails", f"no run of params.yaml measures that; runs: {SMALL}/en, {OTHER}/en, {OTHER}/fr"),
        (("gpt2", "en"), "fails", "verdict: should be not reproduced or not measurable there"),
        ((SMALL, "en"), "not reproduced", "verdict: should be fails, inconclusive or not measurable there"),
    ],
)
def test_a_finding_is_a_departure_about_a_run(checkout, block, place, verdict, said):
    checkout.room("ioi", block(general=POSITIVE))
    file = checkout.finding("ioi", *place, verdict)
    with pytest.raises(Refusal) as refusal:
        load_findings("ioi", checkout.root)
    assert str(refusal.value) == f"{file}: ioi: paper2022.gain: {place[1]}: {said}"


def test_a_finding_elsewhere_needs_the_general_form(checkout, block):
    checkout.room("ioi", block())
    checkout.finding("ioi", SMALL, "en", "fails")
    with pytest.raises(Refusal, match="no `general` form"):
        verdicts(checkout.root)


def test_a_finding_about_what_is_not_there_is_refused(checkout, block):
    checkout.room("ioi", block())
    file = checkout.finding("ioi", "gpt2", "en", "not reproduced", claim="paper2022.gian")
    with pytest.raises(Refusal, match=rf"{file}: ioi: paper2022.gian: en: there is no such claim"):
        all_findings(checkout.root)
    file.unlink()
    checkout.finding("oio", "gpt2", "en", "not reproduced")
    with pytest.raises(Refusal, match=rf"{file}: there is no replication oio; known: ioi"):
        all_findings(checkout.root)
