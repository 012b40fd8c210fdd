"""Stages side by side: order, failures, the lock, and what is said at the end."""

import json
import subprocess
import sys

import pytest

from replications import repro
from replications.files import read_yaml
from replications.pipeline import PipelinePlan, Stage, plan, stages, upstream

FILES = {"a": [], "b": ["a"], "c": [], "d": ["c"], "figures@d": ["d"], "report": ["b"]}


def stage(name, deps=(), outs=(), cmd="true"):
    return Stage(name, cmd, list(deps), [], list(outs))


def little_plan(**commands):
    """Five stages that write a file each; `commands` replaces what some of them run."""
    made = [
        stage(name, deps, [name], commands.get(name, f"sleep .1; cat {' '.join(deps) or '/dev/null'} > {name}"))
        for name, deps in FILES.items()
    ]
    return PipelinePlan(made, upstream(made), {})


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_every_stage_runs_after_what_it_depends_on_and_the_report_last(tmp_path, jobs):
    recorded = []
    done = list(repro.run(little_plan(), tmp_path, jobs, lambda one: recorded.append(one.name)))
    names = [one.stage.name for one in done]
    assert sorted(names) == sorted(FILES)
    assert names == recorded
    assert names[-2:] == ["figures@d", "report"]
    assert names.index("a") < names.index("b")
    assert names.index("c") < names.index("d")
    assert all((tmp_path / name).is_file() for name in FILES)


def test_what_others_wait_for_goes_first(tmp_path):
    chain = {"lone": [], "first": [], "second": ["first"], "third": ["second"]}
    made = [stage(name, deps, [name]) for name, deps in chain.items()]
    done = [one.stage.name for one in repro.run(PipelinePlan(made, upstream(made), {}), tmp_path, 1, lambda one: None)]
    assert done == ["first", "second", "lone", "third"]  # of what nobody waits for, dvc.yaml's order


def test_a_failure_stops_only_what_depends_on_it(tmp_path):
    recorded = []
    broken = little_plan(c="echo the disk is full; exit 3")
    done = {one.stage.name: one for one in repro.run(broken, tmp_path, 2, lambda one: recorded.append(one.name))}
    assert sorted(recorded) == ["a", "b", "report"]
    assert done["figures@d"].failure.startswith("cat: d"), "it draws what there is, whatever failed before"
    assert "the disk is full" in done["c"].failure
    assert str(tmp_path / repro.LOGS / "c.log") in done["c"].failure
    assert done["d"].failure == "it needs c, which failed"


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # of a library of DVC's
def test_the_lock_is_what_dvc_would_have_written(tmp_path):
    def call(*command):
        ready = [sys.executable, "-m", *command] if command[0] == "dvc" else command
        return subprocess.run(ready, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    call("git", "init", "-q")
    call("dvc", "init", "-q")
    (tmp_path / "in").write_text("1")
    (tmp_path / "params.yaml").write_text("runs: {x: {n: 1}, y: {n: 2}}\n")
    blocks = {
        "one": {"foreach": "${runs}", "do": {"cmd": "cp in out-${item.n}", "deps": ["in"], "params": ["runs"],
                                             "outs": [{"out-${item.n}": {"cache": False, "persist": True}}]}},
        "two": {"cmd": "cat out-1 out-2 > end", "deps": ["out-1", "out-2"], "outs": [{"end": {"cache": False}}]},
    }  # fmt: skip
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": blocks}))
    call("dvc", "repro", "-q")
    lock = read_yaml(tmp_path / "dvc.lock")
    (tmp_path / "dvc.lock").unlink()
    made = plan(stages(tmp_path), lambda need: "")
    assert not [one.failure for one in repro.run(made, tmp_path, 2, repro.recorder(tmp_path)) if one.failure]
    assert read_yaml(tmp_path / "dvc.lock") == lock
    assert "up to date" in call("dvc", "status")


def test_as_many_at_a_time_as_cores_and_memory(monkeypatch):
    monkeypatch.setattr(repro.os, "sched_getaffinity", lambda _: set(range(64)))
    assert 1 <= repro.workers() <= 64
    monkeypatch.setattr(repro.os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 3_000_000}[name])
    assert repro.workers() == 2
    monkeypatch.setattr(repro.os, "sysconf", lambda name: 1)
    assert repro.workers() == 1
