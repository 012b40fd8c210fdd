"""A claim is either well formed or refused in one sentence that says where and what would be right."""

import contextlib
import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from replications.claims.compare import as_text
from replications.claims.schema import Claim, Criterion, Estimate, read_claims
from replications.errors import Refusal
from replications.records import checked

GENERAL = {"quantity": "pairs.gain", "comparison": "sign", "published": "+"}


def write(path, blocks):
    path.write_text(blocks if isinstance(blocks, str) else json.dumps(blocks))
    return path


def test_a_good_block_reads_back(tmp_path, block):
    (claim,) = read_claims(write(tmp_path / "claims.yaml", [block(general=GENERAL)]))
    assert (claim.id, claim.published, claim.tolerance) == ("paper2022.gain", 2.0, 0.5)
    assert claim.general.comparison == "sign"
    assert claim.asserted


def test_own_is_the_model_in_english(block):
    claim = Claim(**block())
    assert claim.is_own("gpt2", "en")
    assert not claim.is_own("gpt2", "fr")
    assert not claim.is_own("small", "en")


def test_a_claim_from_memory_is_not_asserted(block):
    memory = {"source_kind": "memory", "seen_at": ""}
    assert not Claim(**block(provenance=memory, confidence="memory")).asserted


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"paper": None}, "paper: is missing"),
        ({"colour": "red"}, "colour: is unknown; known: quantity"),
        ({"id": "Gain"}, "id: should read <source>.<name>"),
        ({"comparison": "roughly"}, "comparison: should be 'within'"),
        ({"quantity": ".gain"}, "quantity: should be a dotted path"),
        ({"quantity": ["a", "b"]}, "quantity should be a list for comparison order"),
        ({"published": "two"}, "published should be a number for comparison within, not 'two'"),
        ({"published": math.nan}, "published should be a number"),
        ({"published": True}, "published should be a number for comparison within, not True"),
        ({"published": 10**400}, "published should be a number"),
        ({"tolerance": True}, "tolerance: should be a number, not true"),
        ({"tolerance": "0.5"}, "tolerance: should be a number, not '0.5'"),
        ({"findings": []}, "findings: is unknown"),
        ({"scope": []}, "scope: should be a mapping, not []"),
        ({"general": "sign"}, "general: should be a mapping, not 'sign'"),
        ({"quantity": [{}]}, "quantity: should be a dotted path"),
        ({"tolerance": -1.0}, "tolerance: should be greater than or equal to 0, not -1.0"),
        ({"tolerance": None, "tolerance_reason": None}, "tolerance is missing: comparison within needs one"),
        ({"tolerance_reason": " "}, "tolerance_reason is missing"),
        ({"comparison": "at_least", "tolerance_reason": None}, "tolerance_reason is missing"),
        ({"comparison": "sign", "published": "up"}, "published should be one of +, positive, -, negative"),
        ({"comparison": "sign", "published": "+"}, "tolerance should be null for comparison sign"),
        ({"comparison": "argmax", "published": [1]}, "published should be one key for comparison argmax"),
        ({"comparison": "argmax", "published": True}, "published should be one key for comparison argmax, not True"),
        ({"comparison": "overlap", "published": "L9H9"}, "published should be a list of labels"),
        ({"comparison": "overlap", "published": [{}]}, "published should be a list of labels"),
        (
            {"comparison": "overlap", "published": ["L9H9"], "tolerance": 2.0},
            "a Jaccard share above 0 and up to 1",
        ),
        ({"comparison": "order", "quantity": "a"}, "quantity should be a list for comparison order"),
        ({"comparison": "order", "quantity": ["a", "a"]}, "two or more different paths"),
        ({"comparison": "order", "quantity": ["a", "b"], "published": [1]}, "one entry per path"),
        ({"comparison": "order", "quantity": ["a", "b"], "published": [2, 1]}, "in increasing order"),
        ({"comparison": "order", "quantity": ["a", "b"], "published": "a"}, "should be null or a list for comparison"),
        ({"comparison": "order", "quantity": ["a", "b"], "published": [{}, 1]}, "should be null or a list for"),
        ({"general": {"quantity": "a"}}, "general.comparison: is missing"),
        ({"provenance": {"source_kind": "memory", "seen_at": ""}}, "confidence should be memory"),
    ],
)
def test_a_bad_field_is_refused_by_name(tmp_path, block, fields, said):
    file = write(tmp_path / "claims.yaml", [block(id="paper2022.fine"), block(**fields)])
    with pytest.raises(Refusal) as refusal:
        read_claims(file)
    assert str(refusal.value).startswith(f"{file}: 1 (")
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1", "should be a list, not {'a': 1}"),
        ("- 3", "0: should be a mapping, not 3"),
        ("- - id", r"0: should be a mapping, not \['id'\]"),
        ("-", "0: should be a mapping, not null"),
        ("- {paper: 2}", "claims.yaml: 0: quantity: is missing"),
        ("- {a: [", "is not readable YAML"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, text, said):
    with pytest.raises(Refusal, match=said):
        read_claims(write(tmp_path / "claims.yaml", text))


def test_claims_are_read_once_until_the_file_changes(tmp_path):
    file = write(tmp_path / "claims.yaml", [{}])
    with pytest.raises(Refusal, match=r"claims\.yaml: 0: quantity: is missing"):
        read_claims(file)
    write(file, "[]")
    assert read_claims(file) is read_claims(file)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(Refusal, match=r"claims\.yaml does not exist"):
        read_claims(tmp_path / "claims.yaml")


def test_criteria_without_a_tolerance():
    order = Criterion(quantity=["a", "b"], comparison="order")
    assert order.quantities == ["a", "b"]
    assert Criterion(quantity="a", comparison="argmax", published="S2").quantities == ["a"]


@pytest.mark.parametrize(("low", "high"), [(None, 1.0), (0.0, None), (1.0, 0.0)])
def test_half_an_interval_is_no_interval(low, high):
    with pytest.raises(ValidationError, match="both be null or be in order"):
        Estimate(value=0.5, ci_low=low, ci_high=high, n=3)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, True])
@pytest.mark.parametrize("field", ["value", "ci_low", "ci_high", "n"])
def test_every_number_of_an_estimate_is_one(field, number):
    with pytest.raises(ValidationError, match=field):
        Estimate.model_validate({"value": 0.5, "ci_low": 0.0, "ci_high": 1.0, "n": 3} | {field: number})


def test_a_value_has_a_sample():
    assert Estimate(value=None, ci_low=None, ci_high=None, n=0).n == 0
    with pytest.raises(ValidationError, match="1 or more"):
        Estimate(value=0.5, ci_low=None, ci_high=None, n=0)


FIELDS = st.sampled_from(list(Claim.model_fields))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.dates()
TREES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(FIELDS | st.integers(), below, max_size=5),
    max_leaves=12,
)


@given(TREES)
def test_whatever_a_block_is_it_is_refused_in_a_sentence(tree):
    with pytest.raises(Refusal, match=r"^place: "):
        checked(tree, Claim, "place")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FIELDS, TREES)
def test_whatever_a_field_holds_the_claim_is_whole_or_refused(block, field, value):
    made = None
    with contextlib.suppress(Refusal):
        made = checked(block() | {field: value}, Claim, "place")
    assert made is None or as_text(made)
