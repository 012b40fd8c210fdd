"""Published sets in their own forms: what is read, and what a malformed record is told."""

import gzip
import json

import pytest

from replications.errors import Refusal
from replications.stimuli.published_facts import fact_set, load_counterfact, load_known_1000

KNOWN = {
    "known_id": 3,
    "subject": "Lake Stone",
    "attribute": "Peru",
    "template": "{} lies",
    "prediction": " in Peru",
    "prompt": "Lake Stone lies in",
    "relation_id": "P17",
}
EDIT = {
    "case_id": 7,
    "prompt": "The river beside Stoneham is the",
    "subject": "Stoneham",
    "target_new": "Ob",
    "ground_truth": "Po",
    "rephrase_prompt": "No rain fell. Stoneham lies on the",
    "locality_prompt": "Woodham lies on the",
    "locality_ground_truth": "Po",
}


def written(path, records, zipped=False):
    data = json.dumps(records).encode()
    path.write_bytes(gzip.compress(data) if zipped else data)
    return path


def test_known_1000_becomes_facts_with_sentences_of_their_own(tmp_path):
    other = KNOWN | {"known_id": 4, "subject": "Lima", "prompt": "One finds Lima in"}
    table = load_known_1000(written(tmp_path / "k.json", [KNOWN | {"extra": 1}, other]))
    first, second = table.facts
    assert (first.id, first.object, first.source) == ("known_1000.3", "Peru", "known_1000 3")
    assert first.relation.frame == "{subject} lies in"
    assert [fact.prompt for fact in table.facts] == [KNOWN["prompt"], other["prompt"]]
    assert second.prompt[slice(*second.subject_span)] == "Lima"
    assert table.neighbours(first) == (second,)  # one relation, two sentences
    assert [relation.id for relation in table.relations] == ["P17", "P17"]


@pytest.mark.parametrize("zipped", [False, True])
def test_counterfact_becomes_facts_with_what_to_make_of_them(tmp_path, zipped):
    other = EDIT | {"case_id": 8, "subject": "Hill", "prompt": "The river beside Hill is the",
                    "rephrase_prompt": "Hill lies on the"}  # fmt: skip
    first, second = load_counterfact(written(tmp_path / "c.json.gz", [EDIT, other], zipped))
    assert (first.fact.id, first.fact.object, first.target) == ("counterfact.7", "Po", "Ob")
    assert first.fact.prompt == EDIT["prompt"]
    text, (start, end) = first.fact.paraphrased(0)
    assert (text, text[start:end]) == (EDIT["rephrase_prompt"], "Stoneham")
    assert (first.neighbour_prompt, first.neighbour_answer) == ("Woodham lies on the", "Po")
    assert fact_set([first, second]).neighbours(first.fact) == (second.fact,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subject": "Lima"}, r"prompt should hold the subject 'Lima' once, not 0 times: 'Lake Stone lies in'"),
        ({"prompt": "Lake Stone, Lake Stone in"}, r"prompt should hold the subject 'Lake Stone' once, not 2"),
        ({"attribute": ""}, r"attribute: should have at least 1 character"),
        ({"known_id": "first"}, r"known_id: should be a whole number, not 'first'"),
        ({"relation_id": None}, r"relation_id: should be text, not null"),
    ],
)
def test_a_malformed_known_record_is_refused_by_number(tmp_path, changes, message):
    file = written(tmp_path / "k.json", [KNOWN, KNOWN | changes])
    with pytest.raises(Refusal, match=r"k\.json record 1: " + message):
        load_known_1000(file)


@pytest.mark.parametrize("field", EDIT)
def test_a_counterfact_record_without_a_field_is_refused(tmp_path, field):
    file = written(tmp_path / "c.json", [{name: value for name, value in EDIT.items() if name != field}])
    with pytest.raises(Refusal, match=rf"c\.json record 0: {field}: is missing"):
        load_counterfact(file)


def test_a_rephrasing_about_somebody_else_is_refused(tmp_path):
    file = written(tmp_path / "c.json", [EDIT | {"rephrase_prompt": "Woodham lies on the"}])
    with pytest.raises(Refusal, match=r"record 0: rephrase_prompt should hold the subject 'Stoneham' once, not 0"):
        load_counterfact(file)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", r"k\.json is not readable JSON .*fetch it again"),
        (b"\xff\xfe", r"k\.json is cut off, or not UTF-8 text .*fetch it again"),
        (b"\x1f\x8b\x08\x00", r"k\.json is cut off, or not UTF-8 text .*fetch it again"),
        (b"\x1f\x8b\x08\x00" + bytes(6) + b"\xff" * 20, r"k\.json is cut off, or not UTF-8 text .*fetch it again"),
        (b"[" * 100_000, r"k\.json is not readable JSON .*nested too deep.*fetch it again"),
        (b"{}", r"k\.json should hold a list of records"),
        (b"[]", r"k\.json should hold a list of records"),
        (b"[3]", r"k\.json record 0: "),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, data, message):
    file = tmp_path / "k.json"
    file.write_bytes(data)
    with pytest.raises(Refusal, match=message):
        load_known_1000(file)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(Refusal, match=r"k\.json does not exist"):
        load_known_1000(tmp_path / "k.json")
