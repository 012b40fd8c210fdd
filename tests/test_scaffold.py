"""An empty room is written whole: it is measured, drawn, judged and found in order without another line."""

import importlib
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

import replications
from replications import imports, scaffold
from replications.errors import Refusal
from replications.pipeline import stages
from replications.settings import ROOT

COPIED = ("replications", "tests", "data", "reports", "dvc.yaml", "params.yaml", "pyproject.toml", ".dvc", ".dvcignore")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A copy of the checkout."""
    root = tmp_path_factory.mktemp("scratch") / "checkout"
    root.mkdir()
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, root / name)
    shutil.rmtree(root / "reports" / "local", ignore_errors=True)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return root


@pytest.fixture
def shell(scratch, tmp_path, monkeypatch):
    """Run a module in the scratch checkout; what it printed."""
    monkeypatch.setenv("PYTHONPATH", str(scratch))
    monkeypatch.setenv("REPLICATIONS_CACHE", str(tmp_path / "cache"))

    def run(*command):
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=scratch, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_an_empty_room_has_all_its_furniture(shell):
    written = shell("replications.cli", "new", "room", "some_room").splitlines()
    assert "replications/some_room/stage.py" in written
    assert "data/claims/some_room.yaml" in written
    assert "1 reproduced" in shell("replications.cli", "run", "some_room", "--out", "reports")
    shell("replications.cli", "draw", "some_room")
    assert "some_room" in shell("dvc", "stage", "list", "--name-only")
    files = ("tests/pipeline/test_furniture.py", "tests/pipeline/test_dependencies.py", "tests/some_room")
    shell("pytest", "-q", *files, "-k", "some_room or furniture", "-p", "no:cacheprovider")
    for check in (("check",), ("format", "--check")):
        shell("ruff", *check, "replications/some_room", "tests/some_room")


def test_a_room_on_models_is_a_stage_for_each_run_of_its_matrix(scratch, shell):
    shell("replications.cli", "new", "room", "deep_room", "--runs", "long_runs")
    listed = {stage.name: stage for stage in stages(scratch)}
    stage = listed["deep_room@smollm2-135m-en"]
    assert {"data/stimuli/en.yaml", "reports/models/smollm2-135m.json", "replications/deep_room"} <= set(stage.deps)
    assert "reports/forest_deep_room.svg" in listed["report"].outs
    wanted = map(str, imports.closure("replications.deep_room.stage", root=scratch))
    assert {file for file in wanted if not file.startswith("replications/deep_room/")} < set(stage.deps)
    shell("ruff", "check", "replications/deep_room")


def test_a_room_on_models_measures_a_model_and_its_twin(scratch, shell, monkeypatch, tmp_path):
    from tiny_models import DECODERS, tiny_model

    loaded = SimpleNamespace(hf_model=tiny_model(DECODERS[0]).hf_model, bos_id=None)
    shell("replications.cli", "new", "room", "tiny_room", "--runs", "runs")
    monkeypatch.setattr(replications, "__path__", [*replications.__path__, str(scratch / "replications")])
    stage = importlib.import_module("replications.tiny_room.stage")
    monkeypatch.setattr(stage, "check_decoder", lambda room, model: None)
    monkeypatch.setattr("replications.models.twins.load_model", lambda model, **options: loaded)
    monkeypatch.setattr(stage, "encode", lambda loaded, texts: [[3, 4, 5 + i % 7] for i, _ in enumerate(texts)])
    monkeypatch.setattr(stage, "room_params", lambda room, profile: {"seed": 1, "resamples": 100})
    trees = stage.run(model="tiny", language="en", device="cpu", profile="default", out=tmp_path)
    assert 0 < trees["measured"]["sample"]["mean"]["value"] <= 1
    assert trees["measured"] == trees["control"]  # the same model stands for both here
    assert (tmp_path / "tables" / "values.csv").is_file()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Ioi", "Python name in lower case"),
        ("two words", "Python name in lower case"),
        ("2rooms", "Python name in lower case"),
        ("import", "Python name in lower case"),
        ("my_runs", "means something else"),
        ("figures", "means something else"),
        ("ioi", "exists"),
        ("catalogue", "exists"),
        ("drawn", "exists"),
        ("cli", "exists"),
    ],
)
def test_names_that_cannot_be_a_rooms_are_refused(name, why):
    with pytest.raises(Refusal, match=why):
        scaffold.check_name(name, ROOT)


def test_a_matrix_that_is_not_there_is_refused_and_nothing_is_written(scratch):
    with pytest.raises(Refusal, match=r"no matrix 'some_runs'; known: .*long_runs"):
        scaffold.furnish("fresh_room", "some_runs", scratch)
    assert not list(scratch.rglob("*fresh_room*"))


def test_a_pipeline_that_is_laid_out_otherwise_is_left_alone(scratch):
    before = {name: (scratch / name).read_bytes() for name in ("dvc.yaml", "params.yaml")}
    text = before["dvc.yaml"].decode().replace("  figures:\n    foreach: [", "  figures:\n    foreach:  [")
    (scratch / "dvc.yaml").write_text(text)
    try:
        with pytest.raises(Refusal, match=r"dvc.yaml is not laid out as one block per stage"):
            scaffold.furnish("fresh_room", None, scratch)
    finally:
        (scratch / "dvc.yaml").write_bytes(before["dvc.yaml"])
    assert (scratch / "params.yaml").read_bytes() == before["params.yaml"]
    assert not list(scratch.rglob("*fresh_room*"))
