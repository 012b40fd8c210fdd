"""What is recorded reads back as it was written, or is refused in one sentence that says where and why."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replications.claims.findings import DEPARTURES, WIDTH, Finding, as_yaml, each, read_findings
from replications.errors import Refusal

WORDS = (
    "It never errs: the model's difference, of {measured} logits, falls, but stays above 0 on every one of {n} prompts "
    "that it was asked of."
)


def one(**fields):
    return {"ioi": {"paper2022.gain": {"en": {"verdict": "fails"} | fields}}}


def write(path, tree):
    path.write_text(tree if isinstance(tree, str) else json.dumps(tree))
    return path


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (one(verdict="holds"), "ioi: paper2022.gain: en: verdict: should be 'not reproduced'"),
        (one(verdit="fails"), "ioi: paper2022.gain: en: verdit: is unknown; known: verdict, measured, interval"),
        ({"ioi": {"paper2022.gain": {"en": {}}}}, "ioi: paper2022.gain: en: verdict: is missing"),
        (one(interval=[1.0]), "ioi: paper2022.gain: en: interval.1: is missing"),
        (one(n="many"), "ioi: paper2022.gain: en: n: should be a whole number, not 'many'"),
        (one(reason=""), "ioi: paper2022.gain: en: reason: should have at least 1 character"),
        (one(reason="{"), "reason: every brace should have its other half; one that is meant as such is doubled"),
        (one(reason="}"), "reason: every brace should have its other half"),
        (one(reason="{gain}"), "reason: {gain} is unknown; known: {measured}, {interval}, {control}, {n}, each"),
        (one(reason="{measured!r}"), "reason: {measured} is unknown"),
        ({"ioi": {"paper2022.gain": []}}, "ioi: paper2022.gain: should be a mapping, not []"),
        ([], "should be a mapping, not []"),
        ("a: [", "is not readable YAML"),
    ],
)
def test_a_bad_file_is_refused_by_place(tmp_path, tree, said):
    file = write(tmp_path / "gpt2.yaml", tree)
    with pytest.raises(Refusal) as refusal:
        read_findings(file)
    assert str(refusal.value).startswith(str(file))
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_is_written_is_for_a_person_to_edit(tmp_path):
    """Nothing but what is there, numbers as they are, words in lines that fit, and what the file is at its head."""
    text = as_yaml("gpt2", {"ioi": {"a.b": {"en": Finding(verdict="fails", measured=1e-7, interval=(0, 0.5), n=3,
                                                          reason=WORDS)}}})  # fmt: skip
    head, body = text.split("ioi:\n")
    assert "`replicate record --model gpt2`" in head
    lines = body.splitlines()
    assert lines[:7] == ["  a.b:", "    en:", "      verdict: fails", "      measured: 1e-07",
                         "      interval: [0.0, 0.5]", "      n: 3", "      reason: >-"]  # fmt: skip
    assert " ".join(line.strip() for line in lines[7:]) == WORDS
    assert len(lines) == 9
    assert max(map(len, text.splitlines())) <= WIDTH


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=300)
reasons = texts.map(lambda text: text.replace("{", "{{").replace("}", "}}")) | st.just(WORDS)
numbers = st.floats(allow_nan=False, allow_infinity=False)
shown = st.none() | numbers | texts
found = st.builds(Finding, verdict=st.sampled_from(DEPARTURES), measured=shown, control=shown,
                  interval=st.none() | st.tuples(numbers, numbers), n=st.none() | st.integers(0, 9999),
                  reason=st.none() | reasons)  # fmt: skip
names = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=4) | st.just("no")


FEW = {"min_size": 1, "max_size": 2}  # an empty mapping is never written


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(names, st.dictionaries(names, st.dictionaries(names, found, **FEW), **FEW), **FEW))
def test_whatever_is_written_reads_back(tmp_path, recorded):
    file = tmp_path / "gpt2.yaml"
    file.write_bytes(as_yaml("gpt2", recorded).encode())
    assert read_findings.__wrapped__(file) == recorded
    assert len(list(each(recorded))) == sum(len(some) for claims in recorded.values() for some in claims.values())
