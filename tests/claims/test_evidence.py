"""metrics.json is read whole and typed, or refused with the command that makes it again."""

import pytest

from replications.claims.evidence import find, nearest, paths, read_evidence, room_evidence, without_places
from replications.claims.schema import Criterion
from replications.errors import Refusal

OTHER = "gemma-3-270m"


def test_every_run_of_a_room_is_found_by_model_and_language(checkout, estimate):
    file = checkout.evidence("ioi", OTHER, "fr", {"a": {"b": estimate(1)}}, {"a": {"b": estimate(2)}})
    checkout.evidence("rome", OTHER, "en", {})
    found = room_evidence("ioi", checkout.root)
    assert list(found) == [(OTHER, "fr")]
    evidence = found[OTHER, "fr"]
    assert (evidence.file, evidence.measured["a"]["b"].value, evidence.control["a"]["b"].value) == (
        file,
        1,
        2,
    )


def test_a_criterion_finds_leaves_groups_and_nothing(checkout, estimate):
    heads = {"L0H0": estimate(0.1), "L9H9": estimate(0.2)}
    file = checkout.evidence("ioi", OTHER, "en", {"heads": heads, "deep": {"er": {"x": estimate(1)}}})
    tree = read_evidence(file, checkout.root).measured
    assert list(paths(tree)) == ["heads", "heads.L0H0", "heads.L9H9", "deep", "deep.er", "deep.er.x"]

    def keys(comparison, quantity):
        found = find(tree, Criterion(quantity=quantity, comparison=comparison, published="+"))
        return found and list(found)

    assert keys("sign", "heads.L9H9") == ["heads.L9H9"]
    assert keys("argmax", "heads") == ["L0H0", "L9H9"]
    assert keys("argmax", "deep.er.x") == ["deep.er.x"]
    assert keys("argmax", "deep") is None  # a group of groups has no largest member
    assert keys("sign", "heads") is None
    assert keys("sign", "heads.L9H9.value") is None
    assert keys("sign", "absent") is None


def test_evidence_cut_in_half_names_the_file_and_the_way_back(checkout, estimate):
    file = checkout.evidence("ioi", OTHER, "fr", {"a": estimate(2.0)})
    file.write_text(file.read_text()[:30])
    (reason,) = room_evidence("ioi", checkout.root).values()
    assert isinstance(reason, Refusal)
    told = r"reports/ioi/gemma-3-270m/fr/metrics\.json is not whole evidence .*`dvc repro --force ioi@gemma-fr`"
    with pytest.raises(Refusal, match=told):
        raise reason


LEAF = '{"value": 1, "ci_low": null, "ci_high": null, "n": 3}'


def leaf_with(name, value):
    """The same with one field as it is written in JSON."""
    fields = {"value": "1", "ci_low": "0", "ci_high": "2", "n": "3"} | {name: value}
    return "{" + ", ".join(f'"{key}": {written}' for key, written in fields.items()) + "}"


def holding(**written):
    """Evidence whose estimates are written so."""
    return '{"measured": {' + ", ".join(f'"{name}": {text}' for name, text in written.items()) + "}}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "has no `measured`"),
        ('{"measured": 3}', "measured should be a group or an estimate"),
        ('{"measured": {"a": 3}}', r"measured\.a should be a group or an estimate"),
        ('{"measured": {"a": {"value": 3}}}', r"measured\.a has no ci_low"),
        ('{"measured": {"a": {"value": {}}}}', r"measured\.a"),
        (holding(a=LEAF)[:-1] + ', "control": {"a": ' + leaf_with("ci_low", "5") + "}}", r"control\.a: .* be in order"),
        (holding(a=leaf_with("m", "5")), r"measured\.a has a field m; those of an estimate are value"),
        (holding(a=leaf_with("value", '"x"')), r"measured\.a: ci_low and ci_high should be null"),
        (holding(a=leaf_with("n", "0")), r"measured\.a: n should be 1 or more"),
        (holding(a=LEAF + ', "a": {}'), "measured gives the key 'a' twice"),
        ('{"measured": {}, "measured": {}}', "the key 'measured' is given twice"),
        ('{"measured": {"a": {"value": 1, "value": 2}}}', r"measured\.a gives the key 'value' twice"),
        ("\udcff", "codec can't decode"),
        ("[" * 100_000, "recursion"),
        ('{"measured": ' + '{"a":' * 200 + "{}" + "}" * 201, "groups within groups without end"),
    ],
)
def test_malformed_evidence_is_refused(checkout, text, said):
    file = checkout.evidence("audit", "printed", "en", {})
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(Refusal, match=rf"{said}.*`dvc repro --force audit`"):
        read_evidence(file, checkout.root)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("value", value) for value in ("true", "NaN", "Infinity", "1e999", "[true]", "[NaN]", "[[1]]", "9" * 400)),
        *(("ci_low", value) for value in ("true", "-Infinity", "-1e999", '"0"', "[0]", "NaN")),
        *(("ci_high", value) for value in ("true", "Infinity", "1e999", '"2"', "{}")),
        *(("n", value) for value in ("true", "-1", "2.0", '"3"', "null", "[3]", "NaN")),
    ],
)
def test_a_field_that_is_no_number_is_a_flaw_of_its_estimate_alone(checkout, name, value):
    file = checkout.evidence("audit", "printed", "en", {})
    file.write_text(holding(a=leaf_with(name, value), b=LEAF))
    with pytest.raises(Refusal, match=rf"measured\.a\.{name} should be a (finite|whole) number"):
        read_evidence(file, checkout.root)
    (evidence,) = room_evidence("audit", checkout.root).values()

    def asked(quantity, comparison="sign"):
        return find(evidence.measured, Criterion(quantity=quantity, comparison=comparison, published="+"))

    assert asked("b")["b"].value == 1
    for path in ("a", "a.value", "a.deeper.still"):
        with pytest.raises(Refusal, match=rf"measured\.a\.{name} should be"):
            asked(path)


def test_a_group_with_a_flaw_has_no_largest_member(checkout):
    file = checkout.evidence("audit", "printed", "en", {})
    file.write_text('{"measured": {"heads": ' + holding(a=leaf_with("n", "true"), b=LEAF).partition(" ")[2] + "}}"[1:])
    (evidence,) = room_evidence("audit", checkout.root).values()
    with pytest.raises(Refusal, match=r"measured\.heads\.a\.n should be a whole number"):
        find(evidence.measured, Criterion(quantity="heads", comparison="argmax", published="a"))


def test_no_value_may_come_of_no_sample(checkout, estimate):
    file = checkout.evidence("audit", "printed", "en", {"a": estimate(None, n=0)})
    assert read_evidence(file, checkout.root).measured["a"].n == 0


def test_a_folder_in_place_of_the_file_is_told(checkout):
    (checkout.root / "reports" / "audit" / "printed" / "en" / "metrics.json").mkdir(parents=True)
    (reason,) = room_evidence("audit", checkout.root).values()
    assert "metrics.json is not whole evidence (Is a directory)" in str(reason)


def test_a_run_that_is_not_in_params_is_rebuilt_by_the_command_line(checkout):
    file = checkout.evidence("ioi", "gpt2", "en", {})
    file.write_text("{")
    with pytest.raises(Refusal, match="`replicate run ioi --model gpt2 --language en --out reports`"):
        read_evidence(file, checkout.root)


def test_places_are_blanked_and_names_are_kept():
    assert without_places("heads.L9H10") == without_places("heads.L0H0") == "heads.#"
    assert without_places("curve.S2.11") == "curve.S2.#"


def test_nearest_says_so_when_nothing_is():
    assert nearest("zzz", [{}]) == "nothing similar"
