"""Kernels give the same bits in the process that compiles them as in those that load them from numba's cache."""

import importlib.util
import os
import subprocess
import sys

import numba
import pytest
import torch

from replications import dictionaries
from replications.dictionaries import codes, kernels

SCRIPT = """
import hashlib
import torch
from replications.dictionaries import kernels
from replications.dictionaries.codes import Sparse, counts
from replications.dictionaries.descent import DescentStep, ParameterState

g = torch.Generator().manual_seed(0)
pre, W = torch.randn(2, 192, 150, generator=g) - 1.3, torch.randn(2, 150, 77, generator=g)
e, x, least = torch.randn(2, 192, 77, generator=g), torch.randn(1, 192, 77, generator=g), torch.zeros(2, 192)
f = Sparse.of(pre, least, counts(pre, least))
back = f.back(e, W, torch.tensor([0.5, -2.0]))
rows = ParameterState.start(W.clone())
back.descend(x, rows, DescentStep(0.01, 1), unit=True)
made = (f.decode(W), back.value, f.onto(e), back.onto(x), f.total(), back.total(), *rows)
print(*(hashlib.sha256(one.numpy().tobytes()).hexdigest() for one in made))
print(sum(sum(one.stats.cache_hits.values()) for one in vars(kernels).values() if hasattr(one, "stats")))
"""


def test_compiled_and_loaded_kernels_give_the_same_bits(tmp_path, monkeypatch, capsys):
    """Another process compiles; this one loads, into a second copy of the module."""
    here = {"NUMBA_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=os.environ | here, check=True, capture_output=True, text=True
    )
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    second = importlib.util.module_from_spec(kernels.__spec__)
    kernels.__spec__.loader.exec_module(second)
    for holder in (dictionaries, codes):
        monkeypatch.setattr(holder, "kernels", second)
    exec(SCRIPT, {})
    (compiled, none), (loaded, some) = done.stdout.splitlines(), capsys.readouterr().out.splitlines()
    assert (int(none), int(some)) == (0, 9)  # this process has loaded all that the other has compiled
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
