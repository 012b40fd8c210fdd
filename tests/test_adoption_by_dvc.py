"""`replicate adopt` with git and DVC themselves: a trial from another clone becomes evidence that DVC calls fresh."""

import json
import os
import shutil
import subprocess
import sys
import types

import pytest

from replications import adoption, places, trial
from replications.files import read_json, read_yaml, write_json

NEW, LINED = "gpt2", "smollm2-135m"
MEASURE = """
import json, pathlib, sys
out, language = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
gain = {"value": float(len(language.read_text())), "ci_low": None, "ci_high": None, "n": 4}
out.parent.mkdir(parents=True, exist_ok=True)
out.write_text(json.dumps({"measured": {"pairs": {"gain": gain}}}))
"""
FETCH = """
import json, pathlib, sys
out = pathlib.Path("reports/models", sys.argv[1] + ".json")
out.parent.mkdir(parents=True, exist_ok=True)
out.write_text(json.dumps({"id": sys.argv[1]}))
"""
OWN = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "DVC_NO_ANALYTICS": "1"}
OWN |= {f"GIT_{who}_{what}": "x@x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def call(folder, *words) -> str:
    done = subprocess.run(words, cwd=folder, env=os.environ | OWN, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


def dvc(folder, *words) -> str:
    return call(folder, sys.executable, "-m", "dvc", *words)


def metrics(room: str, model: str, language: str) -> str:
    return f"reports/{room}/{model}/{language}/metrics.json"


def stage(room: str) -> dict:
    out, stimuli = metrics(room, "${item.model}", "${item.language}"), "data/stimuli/${item.language}.yaml"
    deps = [stimuli, "reports/models/${item.model}.json", "measure.py"]
    folder = out.removesuffix("/metrics.json")
    command, outs = f"{sys.executable} measure.py {out} {stimuli}", [{folder: {"cache": False, "persist": True}}]
    return {"cmd": command, "deps": deps, "params": ["profile", room], "outs": outs}


@pytest.fixture
def repository(checkout, block, monkeypatch):
    """A repository of two rooms on one run, made and locked by `dvc repro` and committed."""
    root = checkout.root
    for room in ("ioi", "rome"):
        checkout.room(room, block(id=f"paper2022.{room}"))
    model = {"cmd": f"{sys.executable} fetch.py ${{item}}",
             "outs": [{"reports/models/${item}.json": {"cache": False, "persist": True}}]}  # fmt: skip
    rooms = {room: {"foreach": "${runs}", "do": stage(room)} for room in ("ioi", "rome")}
    checkout.pipeline(model={"foreach": "${models}", "do": model}, **rooms)
    given = read_yaml(root / "params.yaml")["ioi"]
    sections = {"ioi": given, "rome": {name: value for name, value in given.items() if name != "n_prompts"}}
    (root / "params.yaml").write_text(
        f"profile: default\nruns:\n  {LINED}-en: {{model: {LINED}, language: en}}\nmodels: [{LINED}]\n"
        + "".join(f"{room}: {json.dumps(section)}\n" for room, section in sections.items())
    )
    (root / "measure.py").write_text(MEASURE)
    (root / "fetch.py").write_text(FETCH)
    (root / ".gitignore").write_text("/reports/local/\n")
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n    check_update = false\n")
    (root / ".dvc" / ".gitignore").write_text("/tmp\n/cache\n")
    call(root, "git", "init", "--quiet")
    dvc(root, "repro", "--quiet")
    call(root, "git", "add", "--all")
    call(root, "git", "commit", "--quiet", "--message", "evidence")
    load = types.ModuleType("replications.models.load")
    load.manifest = lambda model: {"id": model, "safetensors": "0123"}
    monkeypatch.setitem(sys.modules, load.__name__, load)
    monkeypatch.setattr(trial, "weights", lambda model, root: "0123")
    return root


def tried(root, room: str):
    """A trial run in the checkout at `root`, measured by the room's own command; returns its folder."""
    folder = root / places.LOCAL / room / NEW / "fr"
    call(root, sys.executable, "measure.py", str(folder / "metrics.json"), "data/stimuli/fr.yaml")
    record = trial.account(trial.TrialRun(room, NEW, "fr"), folder, root)
    write_json(folder / "run.json", record | {"weights": "0123"})
    return folder


def test_a_run_from_another_clone_is_evidence_that_dvc_calls_fresh(repository, tmp_path_factory):
    other = tmp_path_factory.mktemp("elsewhere") / "clone"
    call(repository, "git", "clone", "--quiet", ".", str(other))
    made = {}
    for room in ("ioi", "rome"):
        folder = tried(other, room)
        made[room] = (folder / "metrics.json").read_bytes()
        shutil.copytree(folder, repository / folder.relative_to(other))
    before = read_yaml(repository / "dvc.lock")["stages"]
    adoption.adopt(NEW, "fr", None, repository)
    assert json.loads(dvc(repository, "status", "--json")) == {}
    locked = read_yaml(repository / "dvc.lock")["stages"]
    assert locked.keys() - before.keys() == {f"model@{NEW}", f"ioi@{NEW}-fr", f"rome@{NEW}-fr"}
    assert {name: locked[name] for name in before} == before
    for room, content in made.items():
        assert (repository / metrics(room, NEW, "fr")).read_bytes() == content
    changed = {line[3:] for line in call(repository, "git", "status", "--short", "-uall").splitlines()}
    new = {metrics(room, NEW, "fr") for room in made} | {f"reports/models/{NEW}.json"}
    assert changed == new | {"params.yaml", "dvc.lock"}
    assert read_json(repository / "reports" / "models" / f"{NEW}.json")["safetensors"] == "0123"
