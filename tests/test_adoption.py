"""`replicate adopt`: from trial to evidence, where it would come out the same, and a line's rooms all have run."""

import json
import subprocess
import sys
import types

import pytest

from replications import adoption, places, trial
from replications.errors import Refusal
from replications.files import read_json, read_yaml, write_json
from replications.settings import load_settings

NEW, LINED = "gpt2", "smollm2-135m"


@pytest.fixture
def here(checkout, block, estimate, monkeypatch):
    """A checkout whose matrix two rooms share; what DVC is asked for is in `commands`."""
    for room in ("ioi", "rome"):
        checkout.room(room, block(id=f"paper2022.{room}"))
    stage = {"cmd": "true", "deps": ["data/stimuli/${item.language}.yaml"], "params": ["profile", "ioi"], "outs": ["x"]}
    looped = {"foreach": "${runs}", "do": stage}
    model = {"foreach": "${models}", "do": {"cmd": "true", "outs": ["reports/models/${item}.json"]}}
    drawn = {"foreach": ["ioi", "rome"], "do": {"cmd": "true", "deps": ["reports/${item}"], "outs": ["x"]}}
    checkout.pipeline(model=model, ioi=looped, rome=looped, figures=drawn)
    for room in ("ioi", "rome"):
        figures = types.ModuleType(f"replications.{room}.figures")
        figures.draw = lambda run, out, title: write_json(out / "map.json", run.metrics)
        monkeypatch.setitem(sys.modules, figures.__name__, figures)
    params = checkout.root / "params.yaml"
    given = read_yaml(params)
    lines = "\n".join(f"  {name}: {{model: {run['model']}, language: {run['language']}}}  # said"
                      for name, run in given["runs"].items())  # fmt: skip
    text = f"profile: default\n\n# the matrix\nruns:\n{lines}\n\nmodels: [{LINED}]\n\nioi: {json.dumps(given['ioi'])}\n"
    params.write_text(text)
    load = types.ModuleType("replications.models.load")
    load.manifest = lambda model: {"id": model, "safetensors": "0123"}
    monkeypatch.setitem(sys.modules, load.__name__, load)
    monkeypatch.setattr(trial, "weights", lambda model, root: "0123")
    commands = []

    def dvc(command, **options):
        commands.append(command[2:])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(adoption.subprocess, "run", dvc)
    return types.SimpleNamespace(root=checkout.root, commands=commands)


@pytest.fixture
def tried(here, estimate):
    """Write a trial run, with some of its record replaced; returns its folder."""

    def write(room, model=NEW, language="en", **other):
        asked = trial.TrialRun(room, model, language)
        folder = here.root / places.LOCAL / room / model / language
        write_json(folder / "metrics.json", {"measured": {"pairs": {"gain": estimate(2.0)}}})
        write_json(here.root / places.LOCAL / "figures" / room / model / language / "map.json", {})
        write_json(folder / "run.json", trial.account(asked, folder, here.root) | {"weights": "0123"} | other)
        return folder

    return write


def test_runs_of_all_rooms_become_a_line_of_the_matrix_and_evidence(here, tried, capsys):
    tried("ioi")
    tried("rome")
    adoption.adopt(NEW, "en", None, here.root)
    for room in ("ioi", "rome"):
        assert [path.name for path in (here.root / "reports" / room / NEW / "en").iterdir()] == ["metrics.json"]
        assert "measured" in read_json(here.root / "reports" / "figures" / room / NEW / "en" / "map.json")
    assert not (here.root / "reports" / "local").exists()
    assert read_json(here.root / "reports" / "models" / f"{NEW}.json")["id"] == NEW
    settings = load_settings(here.root)
    assert settings.run_name(NEW, "en") == f"{NEW}-en"
    assert settings.models == [LINED, NEW]
    text = (here.root / "params.yaml").read_text()
    assert text.count("# said") == 3
    assert text.index("language: fr}  # said\n  gpt2-en: {model: gpt2, language: en}\n\nmodels") > 0
    (command,) = here.commands
    assert command == ["dvc", "commit", "--force", f"model@{NEW}", f"ioi@{NEW}-en", f"rome@{NEW}-en", "figures@ioi",
                       "figures@rome"]  # fmt: skip
    assert "dvc repro report" in capsys.readouterr().out


def test_a_new_line_that_a_room_has_not_run_names_the_commands(here, tried):
    tried("ioi")
    with pytest.raises(Refusal, match=f"still lacks: `replicate run rome --model {NEW} --language en`"):
        adoption.adopt(NEW, "en", None, here.root)


def test_a_run_of_a_line_that_is_there_needs_no_other_room(here, tried):
    tried("ioi", LINED)
    tried("rome", LINED)
    before = (here.root / "params.yaml").read_text()
    adoption.adopt(LINED, "en", "ioi", here.root)
    assert (here.root / "params.yaml").read_text() == before
    assert (here.root / "reports" / "ioi" / LINED / "en" / "metrics.json").is_file()
    assert (here.root / "reports" / "local" / "rome" / LINED / "en" / "run.json").is_file()
    assert here.commands[0][3:] == [f"model@{LINED}", "ioi@smol-en", "figures@ioi"]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"code": "0"}, "other modules than there are now"),
        ({"params": {"ioi": {"seed": 2}}}, "other params than"),
        ({"inputs": {"data/stimuli/en.yaml": "0"}}, "other inputs than"),
        ({"versions": {"torch": "1.0"}}, "other library versions than"),
        ({"weights": "4567"}, "other weights than"),
        ({"profile": "full"}, r"other profile \(full, where params.yaml has default\) than"),
    ],
)
def test_a_run_that_would_not_come_out_the_same_is_refused(here, tried, other, said):
    tried("ioi", LINED, **other)
    with pytest.raises(Refusal, match=f"{said}.*: `replicate run ioi --model {LINED} --language en` again"):
        adoption.adopt(LINED, "en", None, here.root)
    assert here.commands == []
    assert not (here.root / "reports" / "ioi").exists()


def test_nothing_to_adopt_names_the_command(here, tried):
    with pytest.raises(Refusal, match=f"holds no run on {NEW} in en: `replicate run ROOM --model {NEW}"):
        adoption.adopt(NEW, "en", None, here.root)
    tried("ioi")
    with pytest.raises(Refusal, match=f"holds no run: `replicate run rome --model {NEW} --language en` first"):
        adoption.adopt(NEW, "en", "rome", here.root)


def test_what_dvc_does_not_lock_names_the_command_to_repeat(here, tried, monkeypatch):
    tried("ioi", LINED)
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: lock is held")
    monkeypatch.setattr(adoption.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(Refusal, match=r"DVC did not lock them \(ERROR: lock is held\): `dvc commit --force"):
        adoption.adopt(LINED, "en", None, here.root)


def test_the_real_params_take_every_kind_of_line():
    from replications.settings import ROOT

    file, settings = ROOT / "params.yaml", load_settings()
    made = adoption.params_with(
        file, trial.TrialRun("", NEW, "no"), set(settings.matrices), ["nlp-id", "pud-de"], settings
    )
    added = [line for line in made.splitlines() if line not in file.read_text().splitlines()]
    assert added.count("  gpt2-no: {model: gpt2, language: no}") == 4
    assert added.count("  gpt2-no: {model: gpt2, language: no, corpus: nlp-id, parallel: pud-de}") == 1
    assert len(added) == 4 + 1 + 2  # and models, datasets
