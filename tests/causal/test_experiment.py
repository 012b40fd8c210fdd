"""The same result by either route, and a warning where the slow one is taken."""

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_models import random_pairs, tiny_model

from replications.causal import experiment, patching
from replications.errors import Refusal
from replications.evidence.run import Asked, made_by
from replications.evidence.versions import PACKAGES
from replications.models import families, weights

BATCH = patching.batch_pairs(*random_pairs([7, 5, 6], changed={3}))


def loaded(architecture):
    tiny = tiny_model(architecture)
    return SimpleNamespace(bridge=tiny.bridge, hf_model=tiny.hf_model, bos_id=1, entry=SimpleNamespace(kind="decoder"))


def test_a_known_family_is_patched_in_one_pass_and_equals_the_helpers():
    result = experiment.run_pairs(loaded("llama"), BATCH, [0, 2], heads=True, device="cpu")
    slow = patching.patch_maps(tiny_model("llama").bridge, BATCH, heads=True)
    assert np.allclose(
        result.cells.resid_pre, slow.resid_pre.numpy()[..., [0, 2]][:, -result.cells.resid_pre.shape[1] :], atol=1e-4
    )
    assert np.allclose(result.head_z, slow.head_z.numpy()[..., [0, 2]], atol=1e-4)
    assert len(result.behaviour.clean) == 3
    assert len(result.cells.clean) == 2


def test_an_unknown_family_is_patched_by_the_helpers_with_a_warning(monkeypatch):
    monkeypatch.delitem(families.FAMILIES, "gpt2")
    with pytest.warns(UserWarning, match="gpt2: patched by TransformerLens' helpers"):
        result = experiment.run_pairs(loaded("gpt2"), BATCH, [0, 1, 2], heads=False, device="cpu")
    assert result.head_z is None
    assert np.allclose(result.cells.clean, result.behaviour.clean.numpy(), atol=1e-4)


def test_provenance_says_how_the_numbers_were_made():
    record = made_by(Asked("ioi", "tiny", "en", "cpu", {"seed": 1}, Path("out")), loaded("llama"))
    assert record["bos_id"] == 1
    assert record["params"] == {"seed": 1}
    assert set(record["versions"]) == set(PACKAGES)


ROOMS = ("ioi", "ioi_circuit", "ioi_faithfulness", "rome", "rome_tracing", "rome_editing")


@pytest.mark.parametrize("room", ROOMS)
def test_an_encoder_is_refused_before_its_weights_are_touched(room, monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "materialise", None)
    stage = import_module(f"replications.{room}.stage")
    said = f"room {room} needs a decoder, which predicts the next token, and minilm-l6 is an encoder: try smollm2-135m"
    with pytest.raises(Refusal, match=said):
        stage.run(model="minilm-l6", language="en", device="cpu", profile="default", out=tmp_path / "a" / "b" / "c")
