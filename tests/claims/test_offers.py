"""A row without evidence offers a command where one could work, and says what is missing where none could."""

import json

import pytest

from replications.claims.ledger import rooms
from replications.claims.offers import ON_THE_ENGINE, WITH_DICTIONARIES, absence
from replications.files import read_yaml
from replications.settings import ROOT, load_settings

SMALL = "smollm2-135m"


@pytest.mark.parametrize(
    ("room", "model", "reason"),
    [
        ("ioi", "gpt2", "its weights come from the model hub"),
        ("ioi", SMALL, "it has not been measured"),
        ("rome_editing", "gpt-j-6b", "its weights come from the model hub"),
        ("layer_probing", "bert-base-uncased", "its weights come from the model hub"),
        ("audit", "printed", "the printed tables have not been audited"),
        ("superposition", "toy", "the toy has not been trained"),
    ],
)
def test_a_command_that_could_work_is_offered(checkout, room, model, reason):
    command = f"`replicate run {room} --model {model} --language en`"
    assert absence(room, model, checkout.root) == f"no evidence for {model}: {reason}; run {command}"


@pytest.mark.parametrize(
    ("room", "model", "missing"),
    [
        ("ioi", "gpt5", "it needs an entry in data/catalogue/models.yaml first, if its weights are public at all"),
        ("ioi_circuit", "bert-base-uncased", "it is an encoder, and ioi_circuit asks decoders"),
        ("sae", "gpt2", "section sae of params.yaml has no l1 for it"),
        ("sae_features", "gpt2", "section sae of params.yaml has no l1 for it"),
    ],
)
def test_without_one_the_row_says_what_is_missing(checkout, room, model, missing):
    said = absence(room, model, checkout.root)
    assert said.endswith(missing)
    assert "replicate run" not in said


@pytest.mark.parametrize("section", [None, 3, {}, {"l1": None}, {"l1": []}])
def test_a_malformed_section_has_no_coefficient(checkout, section):
    file = checkout.root / "params.yaml"
    file.write_text(json.dumps(read_yaml(file) | ({} if section is None else {"sae": section})))
    assert "no l1" in absence("sae", SMALL, checkout.root)


def test_with_its_coefficient_a_dictionary_can_be_trained(checkout):
    file = checkout.root / "params.yaml"
    params = read_yaml(file) | {"sae": {"l1": {"gpt2": {"resid_pre": 0.1}}}}
    file.write_text(json.dumps(params))
    assert "`replicate run sae --model gpt2 --language en`" in absence("sae", "gpt2", checkout.root)


@pytest.mark.parametrize("room", ["rome_editing", "layer_probing"])
def test_a_family_without_an_adapter_is_named_but_where_helpers_know_it(checkout, room):
    file = checkout.root / "data" / "catalogue" / "models.yaml"
    file.write_text(file.read_text().replace("architecture: GPTJForCausalLM", "architecture: BloomForCausalLM"))
    missing = f"replications/models/families has no BloomForCausalLM, which {room} needs"
    assert absence(room, "gpt-j-6b", checkout.root) == f"no evidence for gpt-j-6b: {missing}"
    assert "`replicate run rome --model gpt-j-6b --language en`" in absence("rome", "gpt-j-6b", checkout.root)


def test_rooms_that_need_a_coefficient_are_those_that_run_its_matrix():
    stages = read_yaml(ROOT / "dvc.yaml")["stages"]
    assert {room for room in rooms() if stages[room].get("foreach") == "${sae_runs}"} == set(WITH_DICTIONARIES)
    assert set(ON_THE_ENGINE) <= set(rooms())
    assert {run.model for run in load_settings().matrices["sae_runs"].values()} <= set(
        load_settings().rooms["sae"]["l1"]
    )
