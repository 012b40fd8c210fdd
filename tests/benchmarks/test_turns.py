"""Both sides meet the same machine: turns alternate, medians are compared, and what else ran is known."""

import pytest
from benchmarks import machine, turns
from benchmarks.goals import GOALS, TRACE, Goal, missing
from benchmarks.turns import Peer, Turns

from replications.records import checked
from replications.report.benchmarks import Benchmarks, TimedRatio

SHARED = {"what": "a map", "threads": 1, "note": "", "load": 0.5}
STAT = "cpu  100 20 30 4000 500 6 7 8 90 9\ncpu0 1 2 3 4 5 6 7 8 9 10\n"


@pytest.fixture
def taken(monkeypatch):
    """Three turns of a peer that finds 1, 2, 3 in 10, 50 and 20 seconds, beside products at 1, 3, 2 GFLOP/s."""
    rates = iter((1e9, 3e9, 2e9))
    monkeypatch.setattr(turns, "gemm_rate", lambda clock: next(rates))
    seconds = (10.0, 50.0, 20.0)
    peers = {"loop": Peer(lambda clock, turn: (turn + 1, seconds[turn]), lambda values, found: abs(values - found))}
    made = Turns.of(peers)
    for _ in seconds:
        made.take(peers, None)
    return peers, made


def test_every_turn_has_the_next_part_of_the_peer_and_the_rate_beside_it(taken):
    assert taken[1].seen == {"loop": [(1, 10.0), (2, 50.0), (3, 20.0)]}
    assert taken[1].rates == [1e9, 3e9, 2e9]


def test_the_largest_difference_of_all_turns_is_kept(taken):
    assert taken[1].differences(taken[0], 1) == {"loop": 2}


def test_ratios_are_those_of_medians_with_their_goals(taken):
    goals = {"loop": Goal(5.0, "because")}
    rows = turns.comparisons(SHARED, [1.0, 9.0, 4.0], taken[1], {"loop": 0.5}, 6e9, goals)
    floor, peer = checked(rows, list[TimedRatio], "rows")
    assert (floor.ours_s, floor.other_s, floor.ratio, floor.wanted) == (4.0, 3.0, 4 / 3, None)
    assert (peer.ours_s, peer.other_s, peer.ratio, peer.rounds, peer.other_rounds) == (4.0, 20.0, 5.0, 3, 3)
    assert (peer.wanted, peer.reason, peer.met, peer.max_abs_diff) == (5.0, "because", True, 0.5)


def test_what_the_machine_did_besides_is_all_but_our_share():
    begin, end = machine.Moment(0.0, 100.0, 10.0, 0.0), machine.Moment(50.0, 180.0, 65.0, 0.0)
    assert machine.others(begin, end) == 0.5
    assert machine.others(begin, machine.Moment(50.0, 150.0, 65.0, 0.0)) == 0.0
    assert machine.others(begin, machine.Moment(50.0, None, 65.0, 0.0)) is None
    assert machine.others(begin, machine.Moment(0.5, 180.0, 65.0, 0.0)) is None


def test_seconds_at_work_are_neither_idle_nor_waiting(monkeypatch):
    monkeypatch.setattr(machine.os, "sysconf", {"SC_CLK_TCK": 100}.get)
    assert machine.busy_seconds(STAT) == (100 + 20 + 30 + 6 + 7 + 8) / 100
    assert machine.busy_seconds("") is None


def test_the_processor_is_named_with_what_matters_for_products():
    assert machine.cpu("model name\t: A CPU @ 2: GHz\nflags\t\t: sse avx512f avx2\n") == (
        "A CPU @ 2: GHz",
        ["avx2", "avx512f"],
    )
    assert machine.cpu("") == (None, None)


def test_conditions_are_those_of_the_schema():
    begin = machine.Moment.now()
    tree = {"conditions": machine.conditions(machine.today(), begin, machine.Moment.now()), "comparisons": []}
    assert checked(tree, Benchmarks, "here").conditions.date.endswith("Z")


def test_a_run_is_whole_without_peers_and_not_without_a_benchmark():
    rows = [{"what": what, "threads": threads} for what, threads, against in GOALS if against != "sae_lens"]
    assert missing(rows) == []
    assert missing([row for row in rows if row["what"] != TRACE]) == [(TRACE, 1), (TRACE, 2)]


def test_every_goal_has_its_reason():
    assert all(goal.wanted > 0 and goal.reason for goal in GOALS.values())
