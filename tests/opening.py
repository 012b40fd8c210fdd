"""Which files under data/ and reports/ a stage opens: every test of a stage holds them against what dvc.yaml declares.

`pipeline/test_dependencies.py` works out what is imported; which files are read cannot be seen there.
"""

import importlib
import sys
from contextlib import contextmanager
from functools import wraps
from pathlib import Path

import pytest

from replications.pipeline import Stage, room_stage
from replications.settings import ROOT

WATCHED = ("data", "reports")
APART = "data/catalogue"  # how files are got: their bytes are pinned by the manifests, which a stage depends on
_listeners: list[set[str]] = []


def _hear(event, arguments):
    if _listeners and event == "open" and isinstance(arguments[0], str):
        path = Path(arguments[0]).absolute()
        if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in WATCHED and not path.is_dir():
            for heard in _listeners:
                heard.add(path.relative_to(ROOT).as_posix())


sys.addaudithook(_hear)  # cannot be taken away again; it hears nothing unless somebody listens


@contextmanager
def opened():
    """The files that are opened meanwhile, by their paths from the root."""
    heard: set[str] = set()
    _listeners.append(heard)
    try:
        yield heard
    finally:
        _listeners.remove(heard)


def undeclared(heard: set[str], stage: Stage) -> set[str]:
    """What was opened though the stage names neither it nor a folder that it lies in."""
    known = [*stage.deps, APART]
    return {name for name in heard if not any(Path(name).is_relative_to(dep) for dep in known)}


def watched(room, run):
    """A room's `run` that fails when it opens what its stage does not declare for that model and language."""

    @wraps(run)
    def running(**asked):
        with opened() as heard:
            made = run(**asked)
        stage, _ = room_stage(room, {"model": asked["model"], "language": asked["language"]})
        if stray := undeclared(heard, stage):
            raise AssertionError(f"dvc.yaml, stage {room}: {sorted(stray)} is opened, and not among its deps")
        return made

    return running


@pytest.fixture(scope="module", autouse=True)
def _a_stage_opens_what_it_declares(request):
    """In every tests/<room>/test_stage.py, which run their stages on a small scale anyhow."""
    if request.path.name != "test_stage.py":
        yield
        return
    room = request.path.parent.name
    stage = importlib.import_module(f"replications.{room}.stage")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "run", watched(room, stage.run))
        yield
