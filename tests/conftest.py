"""A checkout in miniature: rooms, claims and evidence built by the test that reads them."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from replications.claims.ledger import verdicts
from replications.settings import DATA

pytest_plugins = ["running", "tiny_hub", "opening", "small_corpora"]

RUNS = {
    "smol-en": {"model": "smollm2-135m", "language": "en"},
    "gemma-en": {"model": "gemma-3-270m", "language": "en"},
    "gemma-fr": {"model": "gemma-3-270m", "language": "fr"},
}
IOI = {"seed": 1, "n_prompts": 4, "n_patched": {"default": 2, "full": None}, "resamples": 100}


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
        """Add a room that holds these claims; returns the file of its claims."""
        folder = self.root / "replications" / name
        folder.mkdir(parents=True)
        (folder / "stage.py").touch()
        file = self.root / "data" / "claims" / f"{name}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(list(claims)))
        return file

    def finding(self, room: str, model: str, language: str, verdict: str, claim: str = "paper2022.gain",
                **fields) -> Path:  # fmt: skip
        """Record one more verdict on a claim; returns the model's file of findings."""
        file = self.root / "data" / "findings" / f"{model}.yaml"
        file.parent.mkdir(exist_ok=True)
        tree = json.loads(file.read_text()) if file.is_file() else {}
        tree.setdefault(room, {}).setdefault(claim, {})[language] = {"verdict": verdict} | fields
        file.write_text(json.dumps(tree))
        return file

    def pipeline(self, **stages: dict) -> None:
        """Write dvc.yaml with these stages."""
        (self.root / "dvc.yaml").write_text(json.dumps({"stages": stages}))

    def evidence(self, room: str, model: str, language: str, measured: dict, control: dict | None = None) -> Path:
        """Add metrics.json for one run of a room; returns the file."""
        file = self.root / "reports" / room / model / language / "metrics.json"
        file.parent.mkdir(parents=True)
        tree = {"measured": measured} if control is None else {"measured": measured, "control": control}
        file.write_text(json.dumps(tree))
        return file

    def row(self, model: str | None = None, language: str = "en") -> dict:
        """The only row of the verdict table, or the one for a model and language."""
        rows = verdicts(self.root)
        (found,) = [row for row in rows if model is None or (row["model"], row["language"]) == (model, language)]
        return found


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout without rooms, with the real catalogue and the runs above."""
    params = {"profile": "default", "models": ["smollm2-135m"], "runs": RUNS, "ioi": IOI}
    (tmp_path / "params.yaml").write_text(json.dumps(params))
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


@pytest.fixture
def gain(estimate):
    """The builder of measured trees with pairs.gain and its interval."""
    return lambda value, low=None, high=None: {"pairs": {"gain": estimate(value, low, high)}}
