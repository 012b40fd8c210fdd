"""Timings by name, written to reports/benchmarks.json at the end of `make bench`.

Each is taken twice. With one thread the clock is the CPU time it got, so that neighbours on the machine hardly matter;
with all threads it is the wall, which means something on a quiet machine only (the file says what the load was).
"""

import json
import os
import platform
import time

import pytest

from replications import files
from replications.settings import ROOT

FILE = ROOT / "reports" / "benchmarks.json"
RESULTS = pytest.StashKey[dict]()


@pytest.fixture(params=[
    pytest.param(time.process_time, id="one thread", marks=pytest.mark.benchmark(timer=time.process_time)),
    pytest.param(time.perf_counter, id="all threads", marks=pytest.mark.benchmark(timer=time.perf_counter)),
])  # fmt: skip
def clock(request):
    """What tells the seconds; how many threads there are goes with it."""
    import torch

    threads = torch.get_num_threads()
    if request.param is time.process_time:
        torch.set_num_threads(1)
    yield request.param
    torch.set_num_threads(threads)


def gemm_rate(clock):
    """FLOP/s of a block's matrix product: 512 rows, the best of twenty."""
    import torch

    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(shape, generator=generator) for shape in ((512, 576), (576, 1536)))
    times = []
    for _ in range(20):
        begin = clock()
        for _ in range(5):
            a @ b
        times.append((clock() - begin) / 5)
    return 2 * 512 * 576 * 1536 / min(times)


def machine(rate):
    import torch

    return {
        "architecture": platform.machine(), "cpus": os.cpu_count(), "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0], "gemm_gflops": rate / 1e9,
        "torch": torch.__version__,
    }  # fmt: skip


@pytest.fixture
def compare(benchmark, request, clock):
    """compare(name, ours, peers, flop, rounds, note): time ours, and record it if it agrees with each peer.

    `ours()` gives the values; `peers` maps a peer's name to a function of them and of the clock that gives
    (difference, seconds) or fails.
    """
    import torch

    def run(name, ours, peers, flop, rounds, note):
        before = gemm_rate(clock)
        values = benchmark.pedantic(ours, rounds=rounds, warmup_rounds=int(rounds > 1))
        seen = {peer: time_it(values, clock) for peer, time_it in peers.items()}
        rate = max(before, gemm_rate(clock))
        ours_s, floor_s, threads = benchmark.stats.stats.median, flop / rate, torch.get_num_threads()
        for peer, (difference, peer_s) in seen.items():
            request.config.stash.setdefault(RESULTS, {})[f"{name}, threads {threads} / {peer}"] = {
                "ours_s": ours_s, "peer": peer, "peer_s": peer_s, "floor_s": floor_s, "ratio_peer": peer_s / ours_s,
                "ratio_floor": ours_s / floor_s, "max_abs_diff": difference, "machine": machine(rate), "note": note,
            }  # fmt: skip

    return run


def pytest_sessionfinish(session):
    """Keep what was timed before under other names."""
    results = session.config.stash.get(RESULTS, {})
    if results:
        old = json.loads(FILE.read_text()) if FILE.exists() else {}
        files.write_json(FILE, old | results)


def pytest_terminal_summary(terminalreporter, config):
    for name, row in config.stash.get(RESULTS, {}).items():
        terminalreporter.write_line(
            f"{name}: {row['ours_s']:.2f} s, {row['ratio_peer']:.1f} x faster, {row['ratio_floor']:.2f} x the floor of "
            f"{row['floor_s']:.2f} s, largest difference {row['max_abs_diff']:.1e}"
        )
