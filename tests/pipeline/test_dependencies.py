"""A stage depends on exactly what it imports and reads: nothing undeclared, nothing declared in vain."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from replications import drawing, imports
from replications.claims.ledger import rooms
from replications.files import read_yaml
from replications.pipeline import stages, upstream
from replications.settings import ROOT

STAGES = stages()
BLOCKS = {stage.block: stage for stage in STAGES}
IGNORED = {"figures.py", "params.py"}  # by .dvcignore: drawn, or checked, by others
MODULES = {room: f"replications.{room}.stage" for room in rooms()} | {"languages": "replications.languages.comparison"}


def code(deps):
    """Files of modules below the declared paths, as DVC hashes them."""
    found = set()
    for dep in deps:
        place = ROOT / dep
        if place.is_file() and place.suffix == ".py":
            found.add(dep)
        elif dep.startswith("replications/"):
            files = (file for file in place.rglob("*.py") if file.name not in IGNORED and _holds_code(file))
            found |= {str(file.relative_to(ROOT)) for file in files}
    return found


def _holds_code(file):
    return file.name != "__init__.py" or len(ast.parse(file.read_text()).body) > 1


@pytest.mark.parametrize("block", MODULES)
def test_code_that_is_declared_is_code_that_is_imported(block):
    wanted, declared = set(map(str, imports.closure(MODULES[block]))), code(BLOCKS[block].deps)
    assert not wanted - declared, f"dvc.yaml, stage {block}: add {sorted(wanted - declared)} to deps"
    assert not declared - wanted, f"dvc.yaml, stage {block}: {sorted(declared - wanted)} is imported by nothing"


def test_figures_depend_on_what_draws_them():
    drawn = (*rooms(), drawing.LANGUAGES)
    own = {f"replications/{room}/figures.py" for room in drawn}
    wanted = {str(file) for file in imports.closure(*(f"replications.{room}.figures" for room in drawn))} - own
    assert wanted <= code(BLOCKS["figures"].deps) | {"replications/evidence/versions.py", "replications/yaml12.py"}


def test_whoever_reads_what_another_stage_writes_says_so():
    before = upstream(STAGES)
    assert all(f"sae@{run}" not in before[f"sae_features@{run}"] for run in ("smollm2-135m-en", "gemma-3-270m-en"))
    assert "rome_tracing@smollm2-135m-en" in before["rome_editing@smollm2-135m-en"]
    assert "ioi_circuit@smollm2-135m-en" in before["ioi_faithfulness@smollm2-135m-en"]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A copy of what the stages depend on, with the lock, in which nothing is stale."""
    root = tmp_path_factory.mktemp("scratch") / "clone"
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.splitlines():
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return root


def stale(root):
    """Stages whose own dependencies changed, and which did; none that only follow another stage's outputs."""
    command = [sys.executable, "-m", "dvc", "status", "--json"]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    told = json.loads(run.stdout)
    return {stage: {dep for change in changes for dep in change["changed deps"]} for stage, changes in told.items()}


def edited(root, names):
    """What is stale by each of the files with a comment more: other bytes, the same meaning.

    All are edited at once, since asking DVC takes seconds: no dependency may hold two of them.
    """
    before = {name: (root / name).read_bytes() for name in names}
    for name, text in before.items():
        (root / name).write_bytes(text + b"\n# another comment\n")
    try:
        changed = stale(root)
    finally:
        for name, text in before.items():
            (root / name).write_bytes(text)
    deps = set().union(*changed.values())
    inside = {dep: [name for name in names if f"{name}/".startswith(f"{dep}/")] for dep in deps}
    assert all(len(held) == 1 for held in inside.values()), inside
    return {name: {stage for stage, own in changed.items() if [name] in map(inside.get, own)} for name in names}


def of(*blocks, language=None):
    chosen = [stage for stage in STAGES if stage.block in blocks]
    if language:
        chosen = [stage for stage in chosen if f"data/stimuli/{language}.yaml" in stage.deps]
    return {stage.name for stage in chosen}


def importers(name):
    return {block for block, module in MODULES.items() if name in set(map(str, imports.closure(module)))}


EDITS = {
    "data/claims/ioi.yaml": lambda: of("report"),
    "data/findings/smollm2-135m.yaml": lambda: of("report"),
    "replications/ioi/figures.py": lambda: {"figures@ioi"},
    "replications/catalogue/hub.py": set,
    "data/stimuli/fr.yaml": lambda: of("rome", "ioi", language="fr"),
    "replications/ioi/quantities.py": lambda: of("ioi"),
    "replications/causal/noise.py": lambda: of(*importers("replications/causal/noise.py")),
    "replications/causal/sweep.py": lambda: of(*importers("replications/causal/sweep.py")),
}


def test_an_edit_makes_stale_what_depends_on_it_and_nothing_else(scratch):
    assert stale(scratch) == {}
    apart = "replications/ioi/figures.py"  # lies in a folder on which the stage of the room depends
    for names in (EDITS.keys() - {apart}, {apart}):
        assert edited(scratch, names) == {name: EDITS[name]() for name in names}


def test_a_report_reads_every_room():
    deps = read_yaml(ROOT / "dvc.yaml")["stages"]["report"]["deps"]
    assert {f"reports/{room}" for room in rooms()} <= set(deps)
    assert all(Path(dep).exists() or (ROOT / dep).exists() for dep in deps)
