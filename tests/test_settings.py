"""params.yaml is read typed, and refused in one sentence."""

import pytest

from replications.errors import Refusal
from replications.settings import DATA, REPORTS, ROOT, Run, find_root, load_settings, room_params


def test_runs_and_sections(checkout):
    settings = load_settings(checkout.root)
    assert settings.profile == "default"
    assert settings.runs["gemma-fr"] == Run(model="gemma-3-270m", language="fr")
    assert settings.models == ["smollm2-135m"]
    assert settings.rooms == {"ioi": {"seed": 1}}
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
    section = "{seed: 3, n: {default: 16, full: null}, pair: {left: 1, right: 2}}"
    (tmp_path / "params.yaml").write_text(f"{{profile: default, runs: {{}}, ioi: {section}}}")
    assert room_params("ioi", "default", tmp_path) == {"seed": 3, "n": 16, "pair": {"left": 1, "right": 2}}
    assert room_params("ioi", "full", tmp_path)["n"] is None
    with pytest.raises(Refusal, match="has no section 'rome'"):
        room_params("rome", "full", tmp_path)


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
        ("- 1", "should be a mapping"),
        ("runs: {a: [", "is not readable YAML"),
        ("profile: default", "runs: Field required"),
        ("{profile: default, runs: {a: {model: gpt2}}}", r"runs\.a\.language: Field required"),
        ("{profile: default, runs: {}, ioi: 3}", r"rooms\.ioi: Input should be a valid dictionary"),
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
