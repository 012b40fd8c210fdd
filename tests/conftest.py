"""How the tests run side by side; and a checkout in miniature, built by the test that reads it."""

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
import yaml

from replications.settings import DATA

if "PYTEST_XDIST_WORKER" in os.environ:  # one thread each, told before a library that computes is loaded
    os.environ.update({f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")})

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("busy")

WORKER_BYTES = 5 << 30  # the largest default model beside its bridge, in float32, and what its tests compute
SLOW = ("sae", "sae_features", "sae_steering", "dictionaries", "ioi_faithfulness", "rome_editing", "toy_sae")

RUNS = {
    "smol-en": {"model": "smollm2-135m", "language": "en"},
    "gemma-en": {"model": "gemma-3-270m", "language": "en"},
    "gemma-fr": {"model": "gemma-3-270m", "language": "fr"},
}


def claim(**fields) -> dict:
    """A valid claim block about gpt2; None removes a field."""
    block = {
        "id": "paper2022.gain", "paper": "Somebody 2022", "where": "Table 1", "model": "gpt2",
        "statement": "The gain is two.", "quantity": "pairs.gain", "published": 2.0, "unit": "nats",
        "comparison": "within", "tolerance": 0.5, "tolerance_reason": "printed without decimals",
        "provenance": {"source_kind": "primary", "seen_at": "paper, full text"}, "confidence": "seen",
    }  # fmt: skip
    return {name: value for name, value in (block | fields).items() if value is not None}


def leaf(value, low=None, high=None, n=64) -> dict:
    """An estimate as metrics.json holds it."""
    return {"value": value, "ci_low": low, "ci_high": high, "n": n}


@dataclass(frozen=True)
class Checkout:
    """`root` looks to the ledger like a checkout of the repository."""

    root: Path

    def room(self, name: str, *claims: dict) -> Path:
        """Add a room that holds these claims; returns its claims.yaml."""
        folder = self.root / "replications" / name
        folder.mkdir(parents=True)
        (folder / "stage.py").touch()
        (folder / "claims.yaml").write_text(yaml.safe_dump(list(claims)))
        return folder / "claims.yaml"

    def pipeline(self, **stages: dict) -> None:
        """Write dvc.yaml with these stages."""
        (self.root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))

    def evidence(self, room: str, model: str, language: str, measured: dict, control: dict | None = None) -> Path:
        """Add metrics.json for one run of a room; returns the file."""
        file = self.root / "reports" / room / model / language / "metrics.json"
        file.parent.mkdir(parents=True)
        tree = {"measured": measured} if control is None else {"measured": measured, "control": control}
        file.write_text(json.dumps(tree))
        return file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """As many workers as this process may use cores, while each has the memory for a real model."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(cores, memory // WORKER_BYTES))


def pytest_collection_modifyitems(config, items):
    """Long ones first, so that no worker is left with one; side by side, a file is one group, real models are another.

    What a file's tests share is then made once, and no model is fetched or held twice.
    """
    items.sort(key=lambda item: (item.get_closest_marker("model") is None, item.path.parent.name not in SLOW))
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            group = "models" if item.get_closest_marker("model") else str(item.path)
            item.add_marker(pytest.mark.xdist_group(group))


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
    torch = sys.modules.get("torch")
    if torch is None or request.node.get_closest_marker("model") or "benchmarks" in request.node.path.parts:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout without rooms, with the real catalogue and the runs above."""
    params = {"profile": "default", "models": ["smollm2-135m"], "runs": RUNS, "ioi": {"seed": 1}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (tmp_path / "data" / "stimuli").mkdir(parents=True)
    shutil.copytree(DATA / "catalogue", tmp_path / "data" / "catalogue")
    for language in ("en", "fr"):
        (tmp_path / "data" / "stimuli" / f"{language}.yaml").touch()
    return Checkout(tmp_path)


@pytest.fixture
def block():
    """The builder of claim blocks."""
    return claim


@pytest.fixture
def estimate():
    """The builder of estimates."""
    return leaf
