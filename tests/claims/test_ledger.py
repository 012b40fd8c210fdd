"""From a miniature checkout to verdicts: every row, every reason, every refusal."""

import pandas
import pytest

from replications.claims.ledger import COLUMNS, all_claims, expected, load_claims, rooms, verdicts
from replications.claims.schema import Claim
from replications.errors import Refusal

SMALL, OTHER = "smollm2-135m", "gemma-3-270m"
POSITIVE = {"quantity": "pairs.gain", "comparison": "sign", "published": "+"}


def finding(model, language, verdict, reason="recorded"):
    return {"model": model, "language": language, "verdict": verdict, "reason": reason}


def row(checkout, model=None, language="en"):
    """The only row of the table, or the one for a model and language."""
    table = verdicts(checkout.root)
    if model:
        table = table[(table["model"] == model) & (table["language"] == language)]
    (record,) = table.to_dict("records")
    return record


@pytest.fixture
def gain(estimate):
    """A measured tree with pairs.gain and its interval."""
    return lambda value, low=None, high=None: {"pairs": {"gain": estimate(value, low, high)}}


def test_rooms_have_claims_and_a_stage(checkout, block):
    assert rooms(checkout.root) == []
    checkout.room("rome", block())
    checkout.room("ioi", block(id="other.claim"))
    (checkout.root / "replications" / "claims").mkdir()
    (checkout.room("draft", block()).parent / "stage.py").unlink()
    assert rooms(checkout.root) == ["ioi", "rome"]
    assert [claim.id for claim in all_claims(checkout.root)["ioi"]] == ["other.claim"]


def test_without_rooms_the_table_is_empty_and_has_its_columns(checkout):
    table = verdicts(checkout.root)
    assert list(table.columns) == COLUMNS
    assert table.empty


@pytest.mark.parametrize(("value", "verdict"), [(2.5, "reproduced"), (2.6, "not reproduced")])
def test_on_the_own_model_the_point_decides(checkout, block, gain, value, verdict):
    checkout.room("rome", block())
    checkout.evidence("rome", "gpt2", "en", gain(value, 0.0, 9.0), gain(0.1))
    place = {"claim": "paper2022.gain", "replication": "rome", "model": "gpt2", "language": "en"}
    numbers = {"published": 2.0, "measured": value, "ci_low": 0.0, "ci_high": 9.0, "n": 64, "control": 0.1}
    assert row(checkout) == place | numbers | {"verdict": verdict, "asserted": True, "reason": ""}


def test_the_own_model_is_judged_by_its_own_form_even_where_the_control_shows_it(checkout, block, gain):
    checkout.room("rome", block(general=POSITIVE))
    checkout.evidence("rome", "gpt2", "en", gain(2.0), gain(2.0))
    assert row(checkout)["verdict"] == "reproduced"


@pytest.mark.parametrize(
    ("measured", "control", "verdict", "reason"),
    [
        ((1.0, 0.5, 1.5), (0.0, -0.1, 0.1), "holds", ""),
        ((1.0, 0.5, 1.5), None, "holds", ""),
        ((1.0, -0.5, 2.5), (0.0, -0.1, 0.1), "inconclusive", "the 95 % interval straddles the criterion"),
        ((1.0, 0.5, 1.5), (0.9, 0.1, 1.7), "inconclusive", "the control shows it too"),
        ((-1.0, -1.5, -0.5), (0.9, 0.1, 1.7), "fails", ""),
        ((None, None, None), (0.9, 0.1, 1.7), "fails", "not measurable: pairs.gain is not a finite number"),
        ((1.0, 0.5, 1.5), (None, None, None), "holds", ""),
    ],
)
def test_elsewhere_the_interval_and_the_control_decide(checkout, block, gain, measured, control, verdict, reason):
    checkout.room("rome", block(general=POSITIVE))
    checkout.evidence("rome", SMALL, "en", gain(*measured), control and gain(*control))
    found = row(checkout, SMALL)
    assert (found["verdict"], found["reason"], found["published"]) == (verdict, reason, "+")


def test_elsewhere_needs_the_general_form(checkout, block, gain):
    checkout.room("rome", block())
    checkout.evidence("rome", SMALL, "en", gain(2.0))
    assert row(checkout)["verdict"] == "not re-run here"


def test_another_language_of_the_own_model_is_elsewhere(checkout, block, gain):
    checkout.room("rome", block(model=OTHER, general=POSITIVE))
    checkout.evidence("rome", OTHER, "en", gain(2.0))
    checkout.evidence("rome", OTHER, "fr", gain(-1.0, -2.0, -0.5))
    table = verdicts(checkout.root)
    assert list(table["verdict"]) == ["reproduced", "fails"]


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
    table = verdicts(checkout.root)
    held = table[table["verdict"] == "holds"]
    assert list(zip(held["model"], held["language"], strict=True)) == asked
    assert len(table) == len(asked) + 1  # and the paper's own model


def test_a_finding_outside_the_scope_is_refused(checkout, block):
    findings = [finding(OTHER, "fr", "fails")]
    checkout.room("ioi", block(general=POSITIVE, scope={"languages": ["en"]}, findings=findings))
    with pytest.raises(Refusal, match=rf"finding about {OTHER}/fr, which its scope leaves out"):
        load_claims("ioi", checkout.root)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("gpt2", "its weights come from the model hub"),
        (SMALL, "it has not been measured"),
        ("gpt5", "it needs an entry in data/catalogue/models.yaml first, if its weights are public at all"),
        ("printed", "the printed tables have not been audited"),
    ],
)
def test_without_evidence_the_row_says_why_and_what_to_run(checkout, block, model, reason):
    checkout.room("ioi", block(model=model))
    found = row(checkout)
    command = f"`replicate run ioi --model {model} --language en`"
    assert found["verdict"] == "not re-run here"
    assert found["reason"] == f"no evidence for {model}: {reason}; run {command}"
    assert pandas.isna(found["measured"])


def test_a_recorded_finding_lends_its_reason(checkout, block, gain):
    recorded = [
        finding("gpt2", "en", "not reproduced", "axis swap"),
        finding(SMALL, "en", "fails", "too small"),
    ]
    checkout.room("rome", block(general=POSITIVE, findings=recorded))
    checkout.evidence("rome", "gpt2", "en", gain(9.0))
    checkout.evidence("rome", SMALL, "en", gain(2.0))
    table = verdicts(checkout.root)
    assert list(table["verdict"]) == ["not reproduced", "holds"]
    assert list(table["reason"]) == ["axis swap", ""]  # a finding that no longer stands explains nothing


def test_expected_is_the_finding_or_the_default(block):
    claim = Claim(**block(general=POSITIVE, findings=[finding(SMALL, "en", "fails")]))
    assert expected(claim, "gpt2", "en") == "reproduced"
    assert expected(claim, SMALL, "en") == "fails"
    assert expected(claim, OTHER, "en") == "holds"


def test_memory_is_listed_and_not_asserted(checkout, block, gain):
    memory = {"source_kind": "memory", "seen_at": ""}
    checkout.room("rome", block(confidence="memory", provenance=memory))
    checkout.evidence("rome", "gpt2", "en", gain(2.0))
    assert row(checkout)["asserted"] is False


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
    table = verdicts(checkout.root).set_index("claim")
    assert set(table["verdict"]) == {"reproduced"}
    assert list(table["measured"]) == ["L9H9", "L9H9", "0.1, 0.3", 0.666667]
    assert list(table["published"]) == ["L9H9", "L9H9", "heads.L0H0 < heads.L9H9", "L9H9, L9H6"]


def test_rows_come_in_the_order_of_rooms_files_and_models(checkout, block, gain):
    checkout.room("rome", block(id="b.two", general=POSITIVE), block(id="b.one"))
    checkout.room("ioi", block(id="a.only"))
    for model, language in (("gpt2", "en"), (SMALL, "en"), (OTHER, "fr"), (OTHER, "en")):
        checkout.evidence("rome", model, language, gain(2.0))
    table = verdicts(checkout.root)
    keys = [tuple(record) for record in table[["claim", "model", "language"]].itertuples(index=False)]
    assert keys == [
        ("a.only", "gpt2", "en"),
        ("b.two", "gpt2", "en"), ("b.two", OTHER, "en"), ("b.two", OTHER, "fr"), ("b.two", SMALL, "en"),
        ("b.one", "gpt2", "en"),
    ]  # fmt: skip
    assert table.equals(verdicts(checkout.root))


def test_a_duplicate_id_names_both_files(checkout, block):
    first, second = checkout.room("ioi", block()), checkout.room("rome", block())
    with pytest.raises(Refusal, match=f"paper2022.gain is used twice, in {first} and in {second}"):
        all_claims(checkout.root)


def test_a_duplicate_id_within_a_file_is_refused(checkout, block):
    checkout.room("ioi", block(), block())
    with pytest.raises(Refusal, match=r"paper2022\.gain is used twice"):
        load_claims("ioi", checkout.root)


def test_a_finding_about_no_run_is_refused(checkout, block):
    checkout.room("ioi", block(general=POSITIVE, findings=[finding(SMALL, "zh", "fails")]))
    with pytest.raises(Refusal, match=rf"finding about {SMALL}/zh.*; runs: {SMALL}/en, {OTHER}/en, {OTHER}/fr"):
        load_claims("ioi", checkout.root)


def test_a_quantity_no_evidence_has_is_refused_with_the_nearest(checkout, block, gain):
    file = checkout.room("ioi", block(quantity="pairs.gian"))
    checkout.evidence("ioi", "gpt2", "en", gain(2.0))
    with pytest.raises(
        Refusal, match=f"{file}: claim paper2022.gain: quantity: no evidence has pairs.gian .*pairs.gain"
    ):
        verdicts(checkout.root)


def test_a_group_is_not_a_number(checkout, block, gain):
    checkout.room("ioi", block(quantity="pairs"))
    checkout.evidence("ioi", "gpt2", "en", gain(2.0))
    with pytest.raises(Refusal, match=r"no evidence has pairs for comparison within; nearest: pairs\.gain"):
        verdicts(checkout.root)


def test_a_general_quantity_no_evidence_has_is_refused(checkout, block, gain):
    checkout.room("ioi", block(general=POSITIVE | {"quantity": "pairs.loss"}))
    checkout.evidence("ioi", SMALL, "en", gain(2.0))
    with pytest.raises(Refusal, match=r"general\.quantity: no evidence has pairs\.loss"):
        verdicts(checkout.root)


def test_a_general_quantity_only_one_run_lacks_is_left_open(checkout, block, gain, estimate):
    checkout.room("ioi", block(general=POSITIVE))
    checkout.evidence("ioi", SMALL, "en", gain(2.0))
    checkout.evidence("ioi", OTHER, "en", {"pairs": {"loss": estimate(1.0)}})
    found = row(checkout, OTHER)
    assert (found["verdict"], found["reason"]) == ("inconclusive", "the evidence has no pairs.gain")


def test_a_head_of_an_unmeasured_model_needs_only_the_form_of_a_measured_one(checkout, block, estimate):
    fine = checkout.room("ioi", block(quantity="heads.L47H24"))
    checkout.evidence("ioi", SMALL, "en", {"heads": {"L0H0": estimate(0.1)}})
    assert row(checkout)["verdict"] == "not re-run here"
    fine.write_text(fine.read_text().replace("heads.L47H24", "haeds.L47H24"))
    with pytest.raises(Refusal, match=r"no evidence has haeds\.L47H24 .*nearest: heads\.L0H0"):
        verdicts(checkout.root)


def test_what_only_the_papers_own_model_is_measured_on_needs_the_form_of_what_others_are(checkout, block, estimate):
    file = checkout.room("ioi", block(quantity="paper.heads.L47H24"))
    checkout.evidence("ioi", SMALL, "en", {"found": {"heads": {"L0H0": estimate(0.1)}}})
    assert row(checkout)["verdict"] == "not re-run here"
    file.write_text(file.read_text().replace("paper.heads", "paper.haeds"))
    with pytest.raises(Refusal, match=r"no evidence has paper\.haeds\.L47H24"):
        verdicts(checkout.root)


def test_text_compared_as_a_number_names_claim_and_file(checkout, block, estimate):
    checkout.room("ioi", block())
    file = checkout.evidence("ioi", "gpt2", "en", {"pairs": {"gain": estimate("L9H9")}})
    with pytest.raises(Refusal, match=f"claim paper2022.gain against {file}: pairs.gain holds 'L9H9'"):
        verdicts(checkout.root)
