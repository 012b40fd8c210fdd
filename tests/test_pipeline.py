"""dvc.yaml is read as DVC reads it."""

import json
import subprocess
import sys

import pytest

from replications.catalogue import sources
from replications.catalogue.entries import load_catalogue, load_datasets
from replications.errors import Refusal, Unavailable
from replications.pipeline import first_runs, narrowed, plan, stages, upstream
from replications.settings import ROOT


def test_foreach_is_spelled_out_over_mappings_and_lists(checkout):
    checkout.pipeline(
        model={"foreach": "${models}", "do": {"cmd": "fetch ${item}", "outs": ["reports/models/${item}.json"]}},
        ioi={
            "foreach": "${runs}",
            "do": {
                "cmd": "run ${item.model} ${item.language}",
                "deps": ["reports/models/${item.model}.json", "reports/datasets/gutenberg.json", "replications/ioi"],
                "outs": ["a.csv"],
                "metrics": [{"reports/ioi/${item.model}/${item.language}/metrics.json": {"cache": False}}],
            },
        },
    )
    found = {stage.name: stage for stage in stages(checkout.root)}
    assert list(found) == ["model@smollm2-135m", "ioi@smol-en", "ioi@gemma-en", "ioi@gemma-fr"]
    assert found["model@smollm2-135m"].needs == [("models", "smollm2-135m")]
    assert found["ioi@gemma-fr"].cmd == "run gemma-3-270m fr"
    assert found["ioi@gemma-fr"].outs == ["a.csv", "reports/ioi/gemma-3-270m/fr/metrics.json"]
    assert found["ioi@gemma-fr"].needs == [("models", "gemma-3-270m"), ("datasets", "gutenberg")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "does not exist"),
        ("stages: [", "is not readable YAML: line [12]: "),
        ("stages: {a: {cmd: b, cmd: c}}", "is not readable YAML: line 1: key 'cmd' is given twice"),
        ("{}", "cannot be read together with params.yaml"),
        ("stages: 3", "cannot be read together with params.yaml"),
    ],
)
def test_a_file_that_is_no_pipeline_is_refused(checkout, text, said):
    if text:
        (checkout.root / "dvc.yaml").write_text(text)
    with pytest.raises(Refusal, match=rf"dvc.yaml {said}"):
        stages(checkout.root)


ODD = """
models: [no, true, 3, 020221101, 1.50, 2e-3, null]
odd_runs: {no: {model: yes, language: en}, "3": {model: 020221101, language: true}}
"""


def test_names_and_values_are_spelled_as_dvc_spells_them(tmp_path):
    from dvc.parsing import DataResolver
    from dvc.repo import Repo

    item = {"foreach": "${models}", "do": {"cmd": "fetch ${item}"}}
    run = {"foreach": "${odd_runs}", "do": {"cmd": "run ${item.model} ${item.language}"}}
    blocks = {"stages": {"model": item, "odd": run}}
    (tmp_path / "dvc.yaml").write_text(json.dumps(blocks))
    (tmp_path / "params.yaml").write_text(ODD)
    with Repo.init(str(tmp_path), no_scm=True) as repo:
        resolved = DataResolver(repo, str(tmp_path), blocks).resolve()["stages"]
    assert {stage.name: stage.cmd for stage in stages(tmp_path)} == {
        name: block["cmd"] for name, block in resolved.items()
    }
    assert {"model@no", "model@True", "odd@no"} <= resolved.keys()


def test_the_projects_own_stages_are_those_that_dvc_sees():
    command = [sys.executable, "-m", "dvc", "stage", "list", "--all", "--name-only"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {stage.name for stage in stages()} == set(listed)
    assert json.dumps([stage.outs for stage in stages()]).count("${") == 0


LISTED = stages()


def names(made):
    return [stage.name for stage in made.stages]


def without(*lost):
    return plan(LISTED, lambda need: f"{need[1]} is not to be had" if need[1] in lost else "")


def test_a_stage_is_left_out_with_what_is_missing_upstream():
    """`languages` reads the evidence of eight runs and names none of their data."""
    made = without("pud-hi")
    assert made.left_out.keys() == {"dataset@pud-hi", "layer_probing@multilingual-e5-small-hi", "languages"}
    assert made.left_out["languages"] == "pud-hi: pud-hi is not to be had"
    assert {"layer_probing@multilingual-e5-small-zh", "report"} <= set(names(made))


@pytest.mark.parametrize("lost", ["smollm2-135m", "gutenberg", "ewt-uds", "multilingual-e5-small"])
def test_nothing_that_runs_needs_what_is_left_out(lost):
    made = without(lost)
    for stage in made.stages:
        assert not made.left_out.keys() & set(made.upstream[stage.name]), stage.name
    assert "report" in names(made)


def test_figures_and_the_report_are_made_of_what_there_is():
    made = without("gemma-3-270m")
    last = [stage.phase for stage in made.stages]
    assert last == sorted(last)
    assert {"figures@rome", "figures@layer_probing", "figures@languages", "report"} <= set(names(made))
    assert made.upstream["figures@rome"] == []


def test_what_is_needed_is_asked_for_once():
    asked = []
    plan(LISTED, lambda need: asked.append(need) or "")
    assert len(asked) == len(set(asked))


def test_every_stage_comes_after_what_it_depends_on():
    listed = names(without())
    assert sorted(listed) == sorted(stage.name for stage in LISTED)
    for name, before in upstream(LISTED).items():
        assert all(listed.index(one) < listed.index(name) for one in before)


def test_the_first_run_of_a_room_is_one_that_can_be_had():
    made = first_runs(without("minilm-l6"), ["layer_probing", "rome_editing"])
    assert "layer_probing@smollm2-135m-en" in names(made)
    assert "rome_tracing@smollm2-135m-en" in names(made), "editing reads which facts are known"
    assert not [name for name in names(made) if name.startswith(("ioi", "layer_probing@minilm"))]
    assert "figures@rome_editing" in names(made)
    assert names(made)[-1] == "report"


@pytest.mark.parametrize(("name", "why"), [("languages", "cannot be run here"), ("nobody", "has no stage 'nobody'")])
def test_only_what_can_be_run_can_be_named(name, why):
    with pytest.raises(Refusal, match=why):
        narrowed(without("pud-hi"), [name])


@pytest.mark.parametrize(
    ("gone", "lost", "kept"),
    [
        ("hub", set(), {"ioi@smollm2-135m-en", "languages", "sae@gemma-3-270m-en"}),
        ("web", {"edge_probing@minilm-l6-en", "languages"}, {"ioi@smollm2-135m-en", "layer_probing@minilm-l6-en"}),
        ("package", {"ioi@smollm2-135m-en", "sae@gemma-3-270m-en"}, {"audit", "superposition", "toy_sae", "report"}),
    ],
)
def test_a_newcomer_without_one_of_the_places_gets_the_rest(gone, lost, kept, tmp_path, monkeypatch):
    """An empty cache, no mirror, and every place but one that answers."""
    monkeypatch.setenv("REPLICATIONS_CACHE", str(tmp_path))
    monkeypatch.delenv("REPLICATIONS_MIRROR", raising=False)

    def ask(kind):
        def asked(source):
            if kind == gone:
                raise Unavailable(f"the {kind} does not answer")

        return asked

    for kind in ("hub", "web", "package", "npm"):
        monkeypatch.setattr(sources.ROUTES[kind], "ask", ask(kind))
    entries = {"models": load_catalogue(), "datasets": load_datasets()}
    made = plan(LISTED, lambda need: sources.available(entries[need[0]][need[1]])[1])
    assert lost <= made.left_out.keys()
    assert kept <= set(names(made))
    assert all(f"the {gone} does not answer" in reason for reason in made.left_out.values())
    if not lost:
        assert made.left_out == {}
