"""Weights in several files: loaded whole, with a manifest, found again, and a damaged one is named."""

import pytest

from replications.catalogue import folders
from replications.errors import Refusal
from replications.models import load, weights

torch = pytest.importorskip("torch")


@pytest.fixture
def sharded(serve, tmp_path, tiny, tiny_gpt2):
    """(entry, its files, the hub): the tiny GPT-2 in several weight files with their index."""
    model, contents = tiny_gpt2
    model.save_pretrained(tmp_path / "shards", max_shard_size="8KB")
    parts = {path.name: path.read_bytes() for path in (tmp_path / "shards").glob("model*")}
    assert len(parts) > 3
    assert "model.safetensors.index.json" in parts
    held = parts | {name: data for name, data in contents.items() if name != "model.safetensors"}
    return tiny.make_entry(tiny.hub_source(held)), held, serve(held)


def test_a_model_in_several_files_loads_has_a_manifest_and_is_found_again(sharded, tiny, tiny_gpt2):
    entry, held, hub = sharded
    got = load.load_model(entry).hf_model.state_dict()
    assert all(torch.equal(got[name], value) for name, value in tiny_gpt2[0].state_dict().items())
    folder = weights.materialise(entry)
    assert folders.is_intact(folder)
    manifest = load.manifest(entry)
    assert manifest["files"] == {name: tiny.sha(data) for name, data in held.items()}
    assert len(manifest["safetensors"]) == 64
    asked = len(hub.sent)
    before = folder.stat().st_ino
    load.load_model(entry)
    assert (len(hub.sent), weights.materialise(entry).stat().st_ino) == (asked, before)


def test_a_damaged_one_of_several_files_is_noticed_and_named(sharded, monkeypatch):
    entry, held, _ = sharded
    folder = weights.materialise(entry)
    name = sorted(name for name in held if name.endswith(".safetensors"))[1]
    (folder / name).write_bytes(held[name][: len(held[name]) // 2])
    assert not folders.is_intact(folder)
    monkeypatch.setattr(weights, "materialise", lambda entry: folder)
    with pytest.raises(Refusal, match=f"{name} cannot be read .*: delete that folder"):
        load.load_model(entry)


def test_the_place_of_several_files_depends_on_all_of_them(cache, tiny):
    def place(last: bytes):
        parts = {"model-00001-of-00002.safetensors": b"a", "model-00002-of-00002.safetensors": last}
        entry = tiny.make_entry(tiny.hub_source(parts | {"config.json": b"{}"}))
        return folders.place(cache, entry, entry.sources[0])

    assert place(b"b") != place(b"c")
