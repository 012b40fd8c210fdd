"""Sections of params.yaml: every room's own is taken, and a wrong value is refused by its field before any work."""

import re
from copy import deepcopy
from pathlib import Path

import pytest

from replications.errors import Refusal
from replications.files import read_yaml
from replications.params import PROFILES, check, of_profile
from replications.settings import ROOT, load_settings, room_params

SECTIONS = load_settings().rooms
FILE = Path("params.yaml")


def fields(tree, path=()):
    """Every path into a section that ends at something that is no mapping."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from fields(value, (*path, key))
    else:
        yield path


def changed(room, path, value):
    """A room's section with another value at one path; a field that is not there is added."""
    section = node = deepcopy(SECTIONS[room])
    *outer, last = path
    for key in outer:
        node = node[key]
    node[last] = value
    return section


def test_every_section_has_a_schema_and_every_schema_a_section():
    assert {file.parent.name for file in (ROOT / "replications").glob("*/params.py")} == set(SECTIONS)


def test_a_section_that_no_room_knows_is_refused():
    with pytest.raises(Refusal, match=r"^params\.yaml: gym: replications/gym/params\.py should say"):
        check({}, "gym", FILE)


@pytest.mark.parametrize("room", SECTIONS)
@pytest.mark.parametrize("profile", PROFILES)
def test_a_stage_gets_what_the_file_says(room, profile):
    raw = read_yaml(ROOT / "params.yaml")[room]
    assert repr(room_params(room, profile)) == repr(of_profile(raw, profile))


def said(room, path, value):
    """What a section is refused with that has this value there; nothing when it is taken."""
    try:
        check(changed(room, path, value), room, FILE)
    except Refusal as refusal:
        return str(refusal)
    return ""


@pytest.mark.parametrize("room", SECTIONS)
def test_no_field_takes_just_anything(room):
    wrong = ({"no": []}, "", float("nan"), float("inf"), -(10**9))
    answers = {(path, repr(value)): said(room, path, value) for path in fields(SECTIONS[room]) for value in wrong}
    assert answers
    assert not {(path, value): text for (path, value), text in answers.items()
                if not re.search(rf"^params\.yaml: {room}\.{path[0]}.*", text)}  # fmt: skip


@pytest.mark.parametrize("room", SECTIONS)
def test_true_is_no_number_and_no_name(room):
    answers = {path: said(room, path, True) for path in fields(SECTIONS[room]) if "every_column" not in path}
    assert answers
    assert not {path: text for path, text in answers.items() if not re.search(r"not true$", text)}


@pytest.mark.parametrize("room", SECTIONS)
def test_fields_that_are_missing_or_unknown_are_named(room):
    for name in SECTIONS[room]:
        section = {key: value for key, value in SECTIONS[room].items() if key != name}
        with pytest.raises(Refusal, match=rf"^params\.yaml: {room}\.{name}: is missing$"):
            check(section, room, FILE)
    with pytest.raises(Refusal, match=rf"^params\.yaml: {room}\.resample: is unknown; known: .*resamples"):
        check(SECTIONS[room] | {"resample": 2}, room, FILE)


@pytest.mark.parametrize(
    ("room", "path", "value", "said"),
    [
        ("ioi", ["n_patched", "default"], "many",
         r"ioi\.n_patched\.default: should be a whole number ≥ 1 or null, not 'many'$"),
        ("ioi", ["n_patched", "full"], 0, r"ioi\.n_patched\.full: should be a whole number ≥ 1 or null, not 0"),
        ("ioi", ["n_patched"], {"default": 3}, r"ioi\.n_patched: should be .*, not {'default': 3}"),
        ("ioi", ["n_prompts"], None, r"ioi\.n_prompts: should be a whole number ≥ 1, not null"),
        ("ioi", ["resamples"], 2e3, r"ioi\.resamples: should be a whole number from 100 to 1000000, not 2000\.0"),
        ("ioi", ["resamples"], 20, r"ioi\.resamples: should be a whole number from 100"),
        ("ioi", ["seed"], -1, r"ioi\.seed: should be a whole number from 0"),
        ("ioi", ["seed"], "x" * 200, r"ioi\.seed: .*, not 'x+…$"),
        ("layer_probing", ["c"], 0, r"layer_probing\.c: should be a number above 0, not 0"),
        ("layer_probing", ["english", "full", "train"], "all", r"layer_probing\.english\.full\.train: should be"),
        ("layer_probing", ["english"], 3, r"layer_probing\.english: should be a mapping, not 3"),
        ("layer_probing", ["types", "full"], {"train": 1, "test": 1}, r"layer_probing\.types\.full\.dev: is missing"),
        ("layer_probing", ["sources", "own"], {"fr": "x"}, r"layer_probing\.sources: own should name the English"),
        ("layer_probing", ["sources", "parallel"], {"tr": "x"}, r"layer_probing\.sources: parallel should name"),
        ("edge_probing", ["sources"], {"en": {}}, r"edge_probing\.sources: should name .* as `other`"),
        ("edge_probing", ["rhythm", "default", "large", "batch"], 0.5, r"edge_probing\.rhythm\.default\.large\.batch"),
        ("edge_probing", ["rhythm", "full", "small", "speed"], 1, r".*\.full\.small\.speed: is unknown"),
        ("rome_tracing", ["every_column", "full"], 1, r"rome_tracing\.every_column\.full: should be true or false"),
        ("rome_editing", ["contexts", "full"], [[5]], r"rome_editing\.contexts\.full\.0: should be a pair"),
        ("rome_editing", ["hase_layers", "default"], [0], r"rome_editing\.hase_layers\.default\.0: should be a layer"),
        ("rome_editing", ["moment_tokens", "default"], 64, r"rome_editing\.moment_tokens\.default: .* ≥ 128"),
        ("sae", ["banks", "default", "resid_pre", "kinds"], ["relu"], r"sae\.banks\.default\.resid_pre\.kinds\.0: "),
        ("sae", ["l1", "smollm2-135m", "resid_pre"], None, r"sae\.l1\.smollm2-135m\.resid_pre: should be a number"),
        ("sae", ["tokens", "default"], 3, r"sae: tokens \(3\) should be one batch \(256\) or more"),
        ("sae", ["shares"], {}, r"sae\.shares: "),
        ("toy_sae", ["alpha_low", "default"], 5, r"toy_sae: alpha_low \(5\) should not be above alpha_high \(2\)"),
        ("superposition", ["phase_models"], 1, r"superposition\.phase_models: should be a whole number ≥ 2"),
        ("sae_steering", ["limits", "distinct"], 2, r"sae_steering\.limits\.distinct: should be a number above 0"),
        ("sae_steering", ["multiples"], 3, r"sae_steering\.multiples: should be a list, not 3"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_its_field(room, path, value, said):
    with pytest.raises(Refusal, match=rf"^params\.yaml: {said}") as refusal:
        check(changed(room, path, value), room, FILE)
    assert "\n" not in str(refusal.value)
