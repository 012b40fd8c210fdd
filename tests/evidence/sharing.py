"""A tiny stage as a process of its own, for test_sharing: `python sharing.py CACHE ROLE [HANGS]`.

Each shard is written down in CACHE/../log when it is begun and when it is made. The owner makes none of the facts
before a helper is at one if it is told to wait for it; whoever hangs never ends its first fact.
"""

import sys
import time
from functools import partial
from pathlib import Path

import torch

from replications.evidence import shards

IDENTITY = {"room": "rome_tracing", "model": "tiny", "language": "en"}
FACTS = 6


def say(log, *words):
    with log.open("a") as file:
        file.write(" ".join(map(str, words)) + "\n")


def make(log, role, how, number):
    say(log, "begun", number, role)
    while how == "hangs" and number:
        time.sleep(1)
    while how == "waits" and number and "helper" not in log.read_text():
        time.sleep(0.01)
    time.sleep(0.05)
    say(log, "made", number, role)
    return {"x": torch.arange(3) / (number + 7)}


def run(cache, role, how):
    maker = partial(partial, make, cache.parent / "log", role, how)
    with shards.keep(IDENTITY, cache) as kept:
        first = kept("base", maker(0))
        under = kept.under("facts")
        rest = under.each({str(n): maker(n) for n in range(1, FACTS + 1)}, "facts")
        kept.complete()
        written = b"".join(found["x"].numpy().tobytes() for found in [first, *rest])
        (cache.parent / "out").write_bytes(written)


if __name__ == "__main__":
    place, me, *manner = sys.argv[1:]
    how = manner[0] if manner else ""
    if me == "helper":
        with shards.helping():
            run(Path(place), me, how)
    else:
        run(Path(place), me, how)
