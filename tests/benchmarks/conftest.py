"""Timings by name, written to reports/benchmarks.json at the end of `make bench`.

One thread, and the clock is the CPU time it got: what neighbours on the machine do then hardly matters, and neither
does how well a method shares its work between threads.
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


def gemm_rate():
    """FLOP/s of a block's matrix product: 512 rows, the best of twenty."""
    import torch

    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(shape, generator=generator) for shape in ((512, 576), (576, 1536)))
    times = []
    for _ in range(20):
        begin = time.process_time()
        for _ in range(5):
            a @ b
        times.append((time.process_time() - begin) / 5)
    return 2 * 512 * 576 * 1536 / min(times)


def machine(rate):
    import torch

    return {
        "architecture": platform.machine(), "cpus": os.cpu_count(), "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0], "clock": "CPU seconds of one thread", "gemm_gflops": rate / 1e9,
        "torch": torch.__version__,
    }  # fmt: skip


@pytest.fixture
def compare(benchmark, request):
    """compare(name, ours, peers, flop, rounds, note): time ours, and record it if it agrees with each peer.

    `ours()` gives the values; `peers` maps a peer's name to a function of them that gives (difference, seconds) or
    fails. The benchmark's own table has the CPU time as well.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def run(name, ours, peers, flop, rounds, note):
        before = gemm_rate()
        values = benchmark.pedantic(ours, rounds=rounds, warmup_rounds=int(rounds > 1))
        seen = {peer: time_it(values) for peer, time_it in peers.items()}
        rate = max(before, gemm_rate())
        ours_s, floor_s = benchmark.stats.stats.median, flop / rate
        for peer, (difference, peer_s) in seen.items():
            request.config.stash.setdefault(RESULTS, {})[f"{name} / {peer}"] = {
                "ours_s": ours_s, "peer": peer, "peer_s": peer_s, "floor_s": floor_s, "ratio_peer": peer_s / ours_s,
                "ratio_floor": ours_s / floor_s, "max_abs_diff": difference, "machine": machine(rate), "note": note,
            }  # fmt: skip

    yield run
    torch.set_num_threads(threads)


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
