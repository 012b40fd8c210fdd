"""Two programs timed in turns: a round of theirs, a round of ours, so that both meet the same machine."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import pytest

Clock = Callable[[], float]

# With one thread the clock is the processor time it got, so that neighbours on the machine hardly matter.
ONE_THREAD = pytest.param(1, id="one thread", marks=pytest.mark.benchmark(timer=time.process_time))
TWO_THREADS = pytest.param(2, id="two threads", marks=pytest.mark.benchmark(timer=time.perf_counter))
CLOCKS: dict[int, Clock] = {1: time.process_time, 2: time.perf_counter}


@dataclass(frozen=True)
class Peer:
    """`run(clock, turn)` gives what was found and its seconds; `difference(values, found)` from ours, or fails."""

    run: Callable[[Clock, int], tuple[Any, float]]
    difference: Callable[[Any, Any], float]


@dataclass(frozen=True)
class Turns:
    """Rounds of one comparison: `rates` in FLOP/s, and by name what a peer found with its seconds."""

    rates: list[float]
    seen: dict[str, list[tuple[Any, float]]]

    @classmethod
    def of(cls, peers):
        return cls([], {name: [] for name in peers})

    def take(self, peers, clock):
        """One turn of everything but ours."""
        turn = len(self.rates)
        self.rates.append(gemm_rate(clock))
        for name, peer in peers.items():
            self.seen[name].append(peer.run(clock, turn))

    def differences(self, peers, values):
        """The largest difference of each peer from our values, over its turns."""
        return {
            name: max(peers[name].difference(values, found) for found, _ in rounds)
            for name, rounds in self.seen.items()
        }


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


def comparisons(shared, ours, turns, differences, flop, goals):
    """Trees of `replications.report.benchmarks.TimedRatio`: the floor first, then every peer.

    `shared` are the fields that all have, `ours` the seconds of our rounds, `goals` by what a ratio is against. Without
    `flop` there is no floor.
    """
    ours_s, rate = median(ours), median(turns.rates)
    shared = shared | {"ours_s": ours_s, "rounds": len(ours), "gemm_gflops": rate / 1e9}
    rows = [{"kind": "floor", "against": "floor", "other_s": floor, "other_rounds": len(turns.rates),
             "ratio": ours_s / floor, "max_abs_diff": None} for floor in ([flop / rate] if flop else [])]  # fmt: skip
    for name, rounds in turns.seen.items():
        theirs = median(seconds for _, seconds in rounds)
        rows.append({"kind": "peer", "against": name, "other_s": theirs, "other_rounds": len(rounds),
                     "ratio": theirs / ours_s, "max_abs_diff": differences[name]})  # fmt: skip
    return [shared | row | _wanted(goals.get(row["against"])) for row in rows]


def _wanted(goal):
    return {"wanted": goal and goal.wanted, "reason": goal and goal.reason}
