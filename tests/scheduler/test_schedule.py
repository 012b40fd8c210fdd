"""Which stage goes next, and when all is done."""

import pytest

from replications.durations import RECORDED, durations
from replications.pipeline import GIGABYTES, PipelinePlan, Stage, stages, upstream
from replications.scheduler import schedule
from replications.scheduler.schedule import Machine
from replications.settings import ROOT


def planned(chain, **fields):
    made = [Stage(name, "true", deps, [], [name], **fields) for name, deps in chain.items()]
    return PipelinePlan(made, upstream(made), {})


CHAIN = {"long": [], "short": [], "after": ["short"], "report": []}
SECONDS = {"long": 10.0, "short": 3.0, "after": 4.0, "report": 1.0}


def test_a_chain_is_as_long_as_what_waits_for_it():
    assert schedule.chains(planned(CHAIN), SECONDS) == {"long": 10.0, "short": 7.0, "after": 4.0, "report": 1.0}


def test_the_longest_chain_goes_first_and_the_report_last():
    names = [stage.name for stage in schedule.by_urgency(planned(CHAIN), SECONDS)]
    assert names == ["long", "short", "after", "report"]


@pytest.mark.parametrize(("cores", "seconds"), [(1, 18.0), (2, 11.0), (9, 11.0)])
def test_all_is_done_when_the_last_core_is(cores, seconds):
    plan = planned(CHAIN)
    assert schedule.finish(schedule.by_urgency(plan, SECONDS), {}, plan, SECONDS, Machine(cores, 99)) == seconds


def test_what_runs_already_counts_with_what_is_left_of_it():
    plan = planned(CHAIN)
    waiting = [stage for stage in plan.stages if stage.name in ("after", "report")]
    left = {"long": 2.0, "short": -1.0}  # which takes longer than it should
    assert schedule.finish(waiting, left, plan, SECONDS, Machine(2, 99)) == 5.0


def test_a_stage_that_needs_more_than_there_is_runs_alone():
    big, small = (Stage(name, "true", [], [], [name], gigabytes=size) for name, size in (("big", 64.0), ("small", 1.0)))
    machine = Machine(2, 24)
    assert machine.has_room(big, [])
    assert not machine.has_room(big, [small])
    assert machine.has_room(small, [small])
    assert not machine.has_room(small, [small, small])


def test_stages_declare_the_memory_that_they_were_seen_to_take():
    took, declared = durations(ROOT / RECORDED).stages, {stage.name: stage.gigabytes for stage in stages()}
    assert took.keys() <= declared.keys()
    short = {name: used.gigabytes for name, used in took.items() if used.gigabytes > declared[name]}
    assert not short, "`meta: {gigabytes: ...}` in dvc.yaml should be at least that"
    for block in {stage.block for stage in stages() if stage.gigabytes > GIGABYTES}:
        most = max(used.gigabytes for name, used in took.items() if name.startswith(f"{block}@"))
        assert declared[next(name for name in declared if name.startswith(f"{block}@"))] <= 1.25 * most + 1
