"""Which facts a model is traced on, and which models can be traced."""

import json
from types import SimpleNamespace

import pytest
from rome_tracing.conftest import tiny_facts

from replications.errors import Refusal
from replications.rome_tracing import study


def test_encoders_and_unknown_families_are_refused(loaded):
    encoder = SimpleNamespace(entry=SimpleNamespace(id="minilm", kind="encoder"))
    with pytest.raises(Refusal, match="minilm is an encoder"):
        study.stack_of(encoder)
    config = SimpleNamespace(model_type="bloom")
    stranger = SimpleNamespace(
        entry=SimpleNamespace(id="bloom-560m", kind="decoder"), hf_model=SimpleNamespace(config=config)
    )
    with pytest.raises(
        Refusal, match="bloom-560m: the engine does not know bloom: it should be added to replications/models/families"
    ):
        study.stack_of(stranger)


def test_the_papers_models_get_the_papers_facts(monkeypatch, tmp_path):
    record = {"known_id": 3, "subject": "Vinson Massif", "attribute": "Antarctica", "relation_id": "P30",
              "prompt": "Vinson Massif is located in the continent of"}  # fmt: skip
    file = tmp_path / "known_1000.json"
    file.write_text(json.dumps([record]))
    monkeypatch.setattr(study.datasets, "fetch", lambda name: {file.name: file})
    assert study.lists("smollm2-135m", "en").keys() == {"facts"}
    assert [fact.subject for fact in study.lists("gpt2-xl", "en")["paper"]] == ["Vinson Massif"]


def test_a_list_is_known_by_its_content(loaded):
    facts = tiny_facts(loaded)
    assert study.digest(facts) == study.digest(tiny_facts(loaded))
    assert study.digest(facts) != study.digest(facts[1:])
