"""Ratios measured in one run, written to reports/benchmarks.json at the end of `make bench` with where and when.

The file is one run's or it stays as it was: half of it from another day or machine could not be compared. A busy
machine is marked in it and not refused: nobody knows at the beginning who will come, and what is timed by the
processor's time is worth keeping.
"""

import pytest
from benchmarks import machine, turns
from benchmarks.goals import GOALS, missing

from replications import files
from replications.records import checked
from replications.report.benchmarks import Benchmarks, TimedRatio, line
from replications.settings import ROOT

FILE = ROOT / "reports" / "benchmarks.json"
RESULTS, BEGIN = pytest.StashKey[list](), pytest.StashKey[tuple]()


@pytest.fixture(params=[turns.ONE_THREAD])
def clock(request):
    """What tells the seconds; how many threads there are goes with it. Evidence is computed on one."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield turns.CLOCKS[request.param]
    torch.set_num_threads(threads)


@pytest.fixture
def compare(benchmark, request, clock):
    """compare(what, ours, peers, flop, rounds, note): time all in turns, and record it if our values agree with each.

    `ours()` gives the values and has run before, `peers` are `turns.Peer` by name, `what` is one of the goals.
    """
    import torch

    stash = request.config.stash
    stash.setdefault(BEGIN, (machine.today(), machine.Moment.now()))

    def run(what, ours, peers, flop, rounds, note):
        taken = turns.Turns.of(peers)
        values = benchmark.pedantic(ours, setup=lambda: taken.take(peers, clock), rounds=rounds)
        threads = torch.get_num_threads()
        goals = {against: goal for (*which, against), goal in GOALS.items() if which == [what, threads]}
        shared = {"what": what, "threads": threads, "note": note, "load": machine.Moment.now().load}
        times, differences = benchmark.stats.stats.data, taken.differences(peers, values)
        stash.setdefault(RESULTS, []).extend(turns.comparisons(shared, times, taken, differences, flop, goals))

    return run


def pytest_sessionfinish(session):
    """Write the file after a whole run."""
    stash = session.config.stash
    if (results := stash.get(RESULTS, [])) and not missing(results):
        where = machine.conditions(*stash[BEGIN], machine.Moment.now())
        tree = files.rounded({"conditions": where, "comparisons": results})
        checked(tree, Benchmarks, FILE)
        files.write_json(FILE, tree)


def pytest_terminal_summary(terminalreporter, config):
    """Every ratio in a line, and why the file stays as it was, if it does."""
    results = files.rounded(config.stash.get(RESULTS, []))
    for row in checked(results, list[TimedRatio], FILE):
        terminalreporter.write_line(line(row))
    if results and (untimed := missing(results)):
        names = "; ".join(f"{what} ({threads})" for what, threads in untimed)
        terminalreporter.write_line(f"{FILE} stays as it was, for this was not timed: {names}")
