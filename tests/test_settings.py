"""params.yaml is read typed, and refused in one sentence."""

import json

import pytest

from replications import settings as module
from replications.errors import Refusal
from replications.settings import DATA, REPORTS, ROOT, RunLine, find_root, load_settings, room_params


def test_runs_and_sections(checkout):
    settings = load_settings(checkout.root)
    assert settings.profile == "default"
    assert settings.runs["gemma-fr"] == RunLine(model="gemma-3-270m", language="fr")
    assert settings.models == ["smollm2-135m"]
    assert settings.rooms["ioi"]["seed"] == 1
    assert settings.run_name("gemma-3-270m", "fr") == "gemma-fr"
    assert settings.run_name("gemma-3-270m", "zh") is None


def test_every_section_of_runs_is_a_matrix(tmp_path):
    a, b = "a: {model: m, language: en}", "b: {model: n, language: he}"
    (tmp_path / "params.yaml").write_text(f"{{profile: full, runs: {{{a}}}, treebank_runs: {{{a}, {b}}}}}")
    settings = load_settings(tmp_path)
    assert settings.matrices["treebank_runs"] == settings.every_run
    assert settings.run_name("n", "he") == "b"
    assert list(settings.runs) == ["a"]


def test_a_section_is_resolved_for_the_profile(tmp_path):
    section = "{seed: 3, n_prompts: 9, n_patched: {default: 16, full: null}, resamples: 2000}"
    (tmp_path / "params.yaml").write_text(f"{{profile: default, runs: {{}}, ioi: {section}}}")
    resolved = {"seed": 3, "n_prompts": 9, "n_patched": 16, "resamples": 2000}
    assert json.dumps(room_params("ioi", "default", tmp_path)) == json.dumps(resolved)
    assert room_params("ioi", "full", tmp_path) == resolved | {"n_patched": None}
    with pytest.raises(Refusal, match="has no section 'rome'"):
        room_params("rome", "full", tmp_path)


def test_a_section_that_is_wrong_stops_its_own_room_only(tmp_path):
    good = "{seed: 3, n_patched: 16, resamples: 2000}"
    (tmp_path / "params.yaml").write_text(f"{{profile: default, runs: {{}}, ioi: 3, rome: {good}}}")
    assert room_params("rome", "default", tmp_path)["n_patched"] == 16
    with pytest.raises(Refusal, match=r"params\.yaml: ioi: should be a mapping of seed, .*, not 3$"):
        room_params("ioi", "default", tmp_path)


def test_what_a_stage_does_to_its_params_is_its_own(checkout):
    room_params("ioi", "default", checkout.root).clear()
    assert room_params("ioi", "default", checkout.root)["seed"] == 1


def test_the_file_is_read_once_until_it_changes(checkout, monkeypatch):
    read, file = [], checkout.root / "params.yaml"
    monkeypatch.setattr(module, "read_yaml", lambda path, _: read.append(path) or json.loads(path.read_text()))
    assert [load_settings(checkout.root).profile for _ in range(3)] == ["default"] * 3
    assert read == [file]
    file.write_text(file.read_text().replace('"profile": "default"', '"profile": "full"'))
    assert load_settings(checkout.root).profile == "full"
    assert read == [file, file]


def test_the_root_is_where_params_lie(checkout):
    deep = checkout.root / "replications" / "ioi"
    deep.mkdir(parents=True)
    assert find_root(deep) == checkout.root
    assert (DATA, REPORTS) == (ROOT / "data", ROOT / "reports")


def test_without_params_the_start_itself_is_the_root(tmp_path):
    assert find_root(tmp_path) == tmp_path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "params.yaml is missing"),
        ("- 1", r"params.yaml: should be a mapping, not \[1\]"),
        ("runs: {a: [", "is not readable YAML"),
        ("profile: default", "runs: is missing"),
        ("{profile: default, runs: {a: {model: gpt2}}}", r"runs\.a\.language: is missing"),
        ("", "params.yaml is empty"),
        ("{profile: full, runs: [a]}", r"runs: should be a mapping, not \['a'\]"),
        ("{profile: full, runs: {a: 3}}", r"runs\.a: should be a mapping, not 3"),
        ("{profile: full, runs: {a: {model: m, language: true}}}", r"runs\.a\.language: should be a name.*, not true"),
        ("{profile: full, runs: {a: {model: m, language: en, corpse: x}}}", r"runs\.a\.corpse: is unknown"),
        ("{profile: full, runs: {a b: {model: m, language: en}}}", r"runs\.a b.*: should be a name.*, not 'a b'"),
        ("{profile: full, runs: {3: {model: m, language: en}}}", "a key should be text, not '3': put it in quotes"),
        ("{profile: full, runs: {a: {model: m, language: en}, a: {}}}", "line 1: key 'a' is given twice"),
        ("{profile: full, runs: {}, models: [gpt2, 3]}", r"models\.1: should be a name.*, not 3"),
        ("{profile: full, runs: {}, long_runs: 3}", r"matrices\.long_runs: should be a mapping, not 3"),
        ("{profile: 3, runs: {}}", "profile: should be text, not 3"),
        ("{profile: quick, runs: {}}", "profile is 'quick'; it should be one of default, full"),
        (
            "{profile: full, runs: {a: {model: m, language: en}, b: {model: m, language: en}}}",
            "a of runs and b of runs are both m in en",
        ),
        (
            "{profile: full, runs: {a: {model: m, language: en}}, long_runs: {b: {model: m, language: en}}}",
            "a of runs and b of long_runs are both m in en",
        ),
        (
            "{profile: full, runs: {a: {model: m, language: en}}, long_runs: {a: {model: m, language: fr}}}",
            "runs a is another run elsewhere",
        ),
    ],
)
def test_bad_params_are_refused(tmp_path, text, said):
    if text is not None:
        (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(Refusal, match=said):
        load_settings(tmp_path)
