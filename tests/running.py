"""How the tests run: side by side or not, in any order, on busy machines, and where something cannot be had."""

import gc
import os
import sys

import hypothesis
import pytest

from replications.errors import Unavailable

if "PYTEST_XDIST_WORKER" in os.environ:  # one thread each, told before a library that computes is loaded
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("busy")

WORKER_BYTES = 5 << 30  # the largest default model beside its bridge, in float32, and what its tests compute
SLOW = ("scheduler", "causal", "evidence", "layer_probing", "pipeline", "sae", "sae_features", "sae_steering",
        "dictionaries", "ioi_faithfulness", "rome_tracing", "rome_editing", "edge_probing", "toy_sae")  # fmt: skip


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """As many workers as this process may use cores, while each has the memory for a real model."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(cores, memory // WORKER_BYTES))


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What is imported and collected stays to the end: it is not looked through for garbage, now or ever again.

    A quarter of the time that collecting takes.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config, items):
    """Long ones first, so that no worker is left with one; side by side, a file is one group, real models are another.

    What a file's tests share is then made once, and no model is fetched or held twice.
    """
    items.sort(key=lambda item: (item.get_closest_marker("model") is None, item.path.parent.name not in SLOW))
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            group = "models" if item.get_closest_marker("model") else item.nodeid.partition("::")[0]
            item.add_marker(pytest.mark.xdist_group(group))


def skipping_what_cannot_be_had(item):
    """A test on real weights is skipped, with the reason and what would help, where no source of them answers."""
    try:
        return (yield)
    except Unavailable as reason:
        if item.get_closest_marker("model"):
            pytest.skip(str(reason))
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    """Of its fixtures."""
    return (yield from skipping_what_cannot_be_had(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Of the test itself."""
    return (yield from skipping_what_cannot_be_had(item))


@pytest.fixture(autouse=True)
def seeded():
    """What a test draws from torch's own generator does not depend on the tests before it."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="module")
def one_thread(request):
    """Models as small as those of the tests spend their time waiting for a second thread; real ones may have it.

    Of a module as a whole: what its fixtures make and what its tests make again should be the same to the last bit.
    """
    torch = None if "OMP_NUM_THREADS" in os.environ else sys.modules.get("torch")  # who sets it has chosen
    if torch is None or request.node.get_closest_marker("model") or "benchmarks" in request.node.path.parts:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
