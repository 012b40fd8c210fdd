"""Stages side by side: order, failures, what is said of them."""

from concurrent.futures import Future, ThreadPoolExecutor
from subprocess import run as shell

import pytest

from replications.durations import StageUsage
from replications.errors import Refusal
from replications.pipeline import SHARING, PipelinePlan, Stage, upstream
from replications.scheduler import running, schedule
from replications.scheduler.schedule import Machine

FILES = {"a": [], "b": ["a"], "c": [], "d": ["c"], "figures@d": ["d"], "report": ["b"]}


class Shell:
    """A pool of threads that call the shell: what the loop needs of one."""

    def __init__(self, root, machine):
        self.root, self.machine, self.threads = root, machine, ThreadPoolExecutor(2 * machine.cores)
        self.begun, self.cancelled = [], []

    def start(self, stage, log) -> Future:
        self.begun.append(stage.cmd)
        return self.threads.submit(self._run, stage.cmd, log)

    def cancel(self, future):
        self.cancelled.append(future)

    def _run(self, command, log):
        with open(log, "w") as out:
            status = shell(command, shell=True, cwd=self.root, stdout=out, stderr=out).returncode
        return status, StageUsage(seconds=1.0, cpu_seconds=1.0, gigabytes=0.1)


def stage(name, deps=(), cmd="true", **fields):
    return Stage(name, cmd, list(deps), [], [name], **fields)


def planned(made):
    return PipelinePlan(made, upstream(made), {})


def little_plan(**commands):
    """Six stages that write a file each; `commands` replaces what some of them run."""
    return planned([
        stage(name, deps, commands.get(name, f"sleep .1; cat {' '.join(deps) or '/dev/null'} > {name}"))
        for name, deps in FILES.items()
    ])  # fmt: skip


def run(plan, root, jobs=2, is_stale=lambda name: True, entry=lambda name: f"entry of {name}", gigabytes=99):
    seconds = {one.name: 1.0 for one in plan.stages}
    board = running.Board(plan, root, schedule.by_urgency(plan, seconds))
    return list(running.run(board, Shell(root, Machine(jobs, gigabytes)), is_stale, entry))


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_every_stage_runs_after_what_it_depends_on_and_the_report_last(tmp_path, jobs):
    done = run(little_plan(), tmp_path, jobs)
    names = [one.stage.name for one in done]
    assert sorted(names) == sorted(FILES)
    assert all(one.entry == f"entry of {one.stage.name}" for one in done)
    assert names[-2:] == ["figures@d", "report"]
    assert names.index("a") < names.index("b")
    assert names.index("c") < names.index("d")
    assert all((tmp_path / name).is_file() for name in FILES)


def test_what_the_longest_chain_waits_for_goes_first(tmp_path):
    chain = {"lone": [], "first": [], "second": ["first"], "third": ["second"]}
    done = run(planned([stage(name, deps) for name, deps in chain.items()]), tmp_path, jobs=1)
    assert [one.stage.name for one in done] == ["first", "second", "lone", "third"]  # of equals, dvc.yaml's order


def test_a_failure_stops_only_what_depends_on_it(tmp_path):
    done = {one.stage.name: one for one in run(little_plan(c="echo the disk is full; exit 3"), tmp_path)}
    assert sorted(name for name, one in done.items() if one.is_made) == ["a", "b", "report"]
    assert done["figures@d"].failure.startswith("cat: d"), "it draws what there is, whatever failed before"
    assert "the disk is full" in done["c"].failure
    assert str(tmp_path / running.LOGS / "c.log") in done["c"].failure
    assert done["d"].failure == "it needs c, which failed"


def test_a_silent_failure_says_how_it_ended(tmp_path):
    failed = {one.stage.name: one.failure for one in run(little_plan(a="exit 7"), tmp_path)}
    assert failed["a"].startswith("its command ended with status 7")


def test_what_cannot_be_recorded_has_failed(tmp_path):
    def entry(name):
        if name == "a":
            raise Refusal("a ended well, but its output is not there")
        return ""

    done = {one.stage.name: one.failure for one in run(little_plan(), tmp_path, entry=entry)}
    assert done["a"] == "a ended well, but its output is not there"
    assert done["b"] == "it needs a, which failed"


def test_what_has_not_changed_is_not_run_and_asked_for_at_its_turn(tmp_path):
    asked = []

    def is_stale(name):
        asked.append((name, (tmp_path / "a").is_file()))
        return name != "c"

    done = {one.stage.name: one for one in run(little_plan(d="true"), tmp_path, is_stale=is_stale)}
    assert ("b", True) in asked, "what a stage depends on may have changed it"
    assert not done["c"].is_made
    assert not done["c"].failure
    assert done["d"].is_made
    assert not (tmp_path / "c").exists()


def test_memory_is_respected(tmp_path):
    heavy = "echo begin >> order; sleep .2; echo end >> order; touch {}"
    made = [stage(name, cmd=heavy.format(name), gigabytes=6.0) for name in "xyz"]
    run(planned(made), tmp_path, jobs=3, gigabytes=11)
    assert (tmp_path / "order").read_text().split() == ["begin", "end"] * 3


@pytest.fixture
def helped(tmp_path, monkeypatch):
    """Runs a plan whose stages may be helped at once; the pool, and what became of the stages."""
    monkeypatch.setattr(running, "SETTLED", 0.0)
    monkeypatch.setattr(running, "TICK", 0.02)

    def run(plan, **machine):
        pool = Shell(tmp_path, Machine(**machine))
        board = running.Board(plan, tmp_path, schedule.by_urgency(plan, {one.name: 1.0 for one in plan.stages}))
        return pool, list(running.run(board, pool, lambda name: True, lambda name: name))

    return run


def test_where_a_core_is_idle_a_shared_stage_is_helped(helped):
    long = stage("long", SHARING[:1], "test $0 = --join && sleep 9; sleep .3 #")
    pool, done = helped(planned([long, stage("alone", cmd="sleep .1")]), cores=2, gigabytes=99)
    assert pool.begun == [long.cmd, "sleep .1", f"{long.cmd} --join"]
    assert [one.stage.name for one in done] == ["alone", "long"], "a helper is no stage that was made"
    assert len(pool.cancelled) == 1, "it ends with the run that it helped"


def test_nobody_helps_where_memory_is_short_or_nothing_is_shared(helped):
    pool, _ = helped(planned([stage("long", SHARING[1:], "sleep .2")]), cores=2, gigabytes=5)
    assert pool.begun == ["sleep .2"]
    pool, _ = helped(planned([stage("long", cmd="sleep .2")]), cores=2, gigabytes=99)
    assert pool.begun == ["sleep .2"]


def test_a_helper_makes_room_for_a_stage(helped):
    long, first = stage("long", SHARING[:1], "sleep .8 #"), stage("first", cmd="sleep .2")
    second, third = stage("second", ["first"], "sleep .3"), stage("third", ["first"], "sleep .3 ")
    pool, done = helped(planned([long, first, second, third]), cores=3, gigabytes=99)
    assert pool.begun[:5] == [first.cmd, long.cmd, f"{long.cmd} --join", second.cmd, third.cmd]
    assert pool.cancelled, "of three cores, one was the helper's"
    assert all(one.is_made for one in done)
