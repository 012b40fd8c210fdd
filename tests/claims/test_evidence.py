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
    with pytest.raises(Refusal, match=f"{file} is not whole evidence .*`dvc repro --force ioi@gemma-fr`"):
        room_evidence("ioi", checkout.root)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "has no `measured`"),
        ('{"measured": {"a": 3}}', r"measured\.a should be a group or an estimate"),
        ('{"measured": {"a": {"value": 3}}}', r"measured\.a\.ci_low: Field required"),
        (
            '{"measured": {}, "control": {"a": {"value": 1, "ci_low": 2, "ci_high": 1, "n": 3}}}',
            r"control\.a",
        ),
    ],
)
def test_malformed_evidence_is_refused(checkout, text, said):
    file = checkout.evidence("audit", "printed", "en", {})
    file.write_text(text)
    with pytest.raises(Refusal, match=rf"{said}.*`dvc repro --force audit`"):
        read_evidence(file, checkout.root)


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
