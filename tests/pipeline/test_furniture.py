"""Who knows one room knows all: folders, stages, claims, params and evidence agree."""

from pathlib import Path

import pytest

from replications import drawing
from replications.catalogue.entries import load_catalogue, load_datasets
from replications.claims.ledger import load_claims, rooms
from replications.files import read_yaml
from replications.pipeline import stages
from replications.settings import DATA, REPORTS, ROOT, load_settings
from replications.stimuli.language import languages

FURNITURE = ("README.md", "stage.py", "figures.py", "__init__.py")
KEPT = {"sae": ("dictionaries.json",)}  # what a room writes besides
SETTINGS = load_settings()
STAGES = read_yaml(ROOT / "dvc.yaml")["stages"]
MEASURED = [room for room in rooms() if "foreach" in STAGES[room]]  # the others need no weights
RUNS = {f"${{{name}}}": runs for name, runs in SETTINGS.matrices.items()}


def test_there_are_rooms():
    assert {"audit", "ioi", "rome"} <= set(rooms())


@pytest.mark.parametrize("room", rooms())
def test_every_room_has_the_same_furniture(room):
    missing = [name for name in FURNITURE if not (ROOT / "replications" / room / name).is_file()]
    assert not missing, f"replications/{room} lacks {missing}"
    assert load_claims(room), f"data/claims/{room}.yaml is empty"
    assert (ROOT / "tests" / room).is_dir(), f"tests/{room} is missing"


@pytest.mark.parametrize("room", rooms())
def test_every_room_is_a_stage_that_depends_on_the_room(room):
    stage = STAGES[room].get("do", STAGES[room])
    assert any(dep.startswith(f"replications/{room}") for dep in stage["deps"])
    (out,) = (next(iter(out)) for out in stage["outs"])  # the folder of the run is one output
    assert out.startswith(f"reports/{room}/")


@pytest.mark.parametrize("room", MEASURED)
def test_every_model_room_runs_a_matrix(room):
    assert STAGES[room]["foreach"] in RUNS
    deps = STAGES[room]["do"]["deps"]
    assert "reports/models/${item.model}.json" in deps
    assert any(dep.startswith("data/") or dep.startswith("reports/datasets/") for dep in deps)
    assert STAGES[room]["do"]["params"][:2] == ["profile", room]  # further sections are those of rooms it builds on


@pytest.mark.parametrize("stage", stages(), ids=lambda stage: stage.name)
def test_every_stage_has_whole_evidence(stage):
    files = ("", "metrics.json", "provenance.json", "tables") if stage.block in rooms() else ("",)
    missing = [f"{path}/{file}" for path in stage.outs for file in files if not (ROOT / path / file).exists()]
    assert not missing, f"{stage.name} lacks {missing}"


@pytest.mark.parametrize("room", MEASURED)
def test_no_evidence_without_a_run(room):
    """A number in reports/ comes from a stage that can be re-run, nowhere else."""
    runs = RUNS[STAGES[room]["foreach"]].values()
    found = {path.parent.relative_to(REPORTS / room).parts for path in (REPORTS / room).glob("*/*/metrics.json")}
    assert found == {(run.model, run.language) for run in runs}
    folders = {ROOT / path for stage in stages() for path in stage.outs}
    files = {path for path in (REPORTS / room).rglob("*") if path.is_file()}
    assert not {file for file in files if not folders & set(file.parents)}
    assert {path.name for folder in folders & set((REPORTS / room).glob("*/*")) for path in folder.iterdir()} <= {
        "metrics.json", "provenance.json", "tables", *KEPT.get(room, ())
    }  # fmt: skip


def test_every_room_is_drawn():
    assert sorted(STAGES["figures"]["foreach"]) == sorted([*rooms(), drawing.LANGUAGES])
    assert [Path(path).name for path in STAGES["figures"]["do"]["deps"]].count("figures.py") == 1


@pytest.mark.parametrize("room", [*rooms(), drawing.LANGUAGES])
def test_every_run_has_figures_and_no_other_has(room):
    runs, drawn = (
        {path.relative_to(folder / room) for path in (folder / room).glob("*/*")}
        for folder in (REPORTS, REPORTS / drawing.FIGURES)
    )
    assert runs == drawn


def test_datasets_in_use_are_in_the_catalogue():
    assert set(SETTINGS.datasets) <= set(load_datasets())
    needed = {name for stage in stages() for kind, name in stage.needs if kind == "datasets"}
    assert needed == set(SETTINGS.datasets)


def test_runs_name_known_models_and_languages():
    for name, run in SETTINGS.every_run.items():
        assert name == f"{run.model}-{run.language}"
        assert run.model in load_catalogue()
        if run in SETTINGS.runs.values():
            assert run.language in languages(), f"data/stimuli/{run.language}.yaml is missing"
        assert run.model in SETTINGS.models, f"{run.model} is not in params.yaml: models"


def test_report_stage_reads_every_room():
    deps = STAGES["report"]["deps"]
    assert {"data/claims", "data/findings"} <= set(deps)
    assert {f"reports/{room}" for room in rooms()} <= set(deps)


def test_what_is_published_and_what_was_found_make_no_measurement_stale():
    read = {stage.name for stage in stages() for dep in stage.deps if dep.startswith(("data/claims", "data/findings"))}
    assert read == {"report"}
    assert not {dep for stage in stages() for dep in stage.deps if dep in ("data", "data/")}


def test_every_file_of_claims_has_its_room():
    assert [file.stem for file in sorted((DATA / "claims").iterdir())] == rooms()


@pytest.mark.parametrize("room", rooms())
def test_no_room_reads_the_claims_about_it(room):
    modules = (ROOT / "replications" / room).glob("*.py")
    assert not [file for file in modules if "replications.claims" in file.read_text()]


def test_data_has_provenance():
    text = (DATA / "README.md").read_text()
    for folder in ("stimuli", "catalogue", "claims", "findings"):
        assert folder in text
