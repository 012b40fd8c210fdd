"""Kernels give the same bits in the process that compiles them as in those that load them from numba's cache."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import hashlib
import torch
from replications.dictionaries import kernels
from replications.dictionaries.codes import Sparse, counts
from replications.dictionaries.descent import Held, Step

g = torch.Generator().manual_seed(0)
pre, W = torch.randn(2, 192, 150, generator=g) - 1.3, torch.randn(2, 150, 77, generator=g)
e, x, least = torch.randn(2, 192, 77, generator=g), torch.randn(1, 192, 77, generator=g), torch.zeros(2, 192)
f = Sparse.of(pre, least, counts(pre, least))
back = f.back(e, W, torch.tensor([0.5, -2.0]))
rows = Held.start(W.clone())
back.descend(x, rows, Step(0.01, 1), unit=True)
made = (f.decode(W), back.value, f.onto(e), back.onto(x), f.total(), back.total(), *rows)
print(*(hashlib.sha256(one.numpy().tobytes()).hexdigest() for one in made))
print(sum(sum(one.stats.cache_hits.values()) for one in vars(kernels).values() if hasattr(one, "stats")))
"""


def test_compiled_and_loaded_kernels_give_the_same_bits(tmp_path):
    def run():
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout.splitlines()

    (compiled, none), (loaded, some) = run(), run()
    assert (int(none), int(some) > 0) == (0, True)  # the second process has loaded what the first has compiled
    assert loaded == compiled


READ_ONLY = """
import os, sys
from pathlib import Path
import numba.core.caching as caching

def writable_only_in(self, free=os.environ.get("FREE")):
    if free is None or not Path(self.get_cache_path()).is_relative_to(free):
        raise OSError(30, "Read-only file system")

caching._CacheLocator.ensure_cache_path = writable_only_in
from replications.dictionaries import kernels
print(getattr(kernels.counted._cache, "cache_path", None))
"""


@pytest.mark.parametrize("free", [True, False])
def test_read_only_places_cost_time_and_nothing_else(tmp_path, free):
    environment = {**os.environ, "REPLICATIONS_CACHE": str(tmp_path)} | ({"FREE": str(tmp_path)} if free else {})
    done = subprocess.run(
        [sys.executable, "-c", READ_ONLY], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "numba") if free else "None")
