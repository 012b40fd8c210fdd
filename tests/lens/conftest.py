"""Tiny models made on the spot, and a folder that stands in for a mirror: nothing here needs a network."""

import hashlib
import sys
from pathlib import Path

import pytest

from replications.lens.catalogue import ModelEntry

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "someone/tiny"
SHAPE = {"n_layers": 2, "n_heads": 2, "d_model": 8}


@pytest.fixture(scope="session")
def tiny():
    """The builders of this file."""
    return sys.modules[__name__]


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of this test's own; no mirror, no hub, no package index."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("REPLICATIONS_CACHE", str(folder))
    monkeypatch.delenv("REPLICATIONS_MIRROR", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the discard port: refused at once
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    return folder


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_entry(*sources: dict, **fields) -> ModelEntry:
    """A two-layer entry with these sources; `fields` replace the defaults."""
    defaults = {
        "id": "tiny",
        "name": "Tiny",
        "architecture": "GPT2LMHeadModel",
        "kind": "decoder",
        "languages": ["en"],
        "licence": {"name": "CC0", "note": "made by a test"},
        "papers": [],
        "bos": {"policy": "none", "why": "a test"},
        "sources": list(sources),
    }
    return ModelEntry.model_validate(defaults | SHAPE | fields)


def hub_source(files: dict[str, bytes], pinned: bool = True, **fields) -> dict:
    hashes = {name: sha(data) if pinned else None for name, data in files.items()}
    return {"kind": "hub", "repo": REPO, "revision": COMMIT, "files": hashes, "note": "a test"} | fields


def fill_mirror(folder: Path, files: dict[str, bytes]) -> Path:
    """A mirror folder that holds these files under names of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    sums = []
    for number, (name, data) in enumerate(files.items()):
        (folder / f"{number}-{name}").write_bytes(data)
        sums.append(f"{sha(data)}  {number}-{name}\n")
    (folder / "SHA256SUMS").write_text("".join(sums))
    return folder


def byte_tokenizer(**special: str):
    """A byte-level tokenizer without merges: every byte is a token, so spans are easy to check by hand."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {byte: index for index, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner, **special)


def saved_files(folder: Path, *saved) -> dict[str, bytes]:
    """What `save_pretrained` of each argument writes, as bytes by name."""
    for thing in saved:
        thing.save_pretrained(folder)
    kept = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    return {name: (folder / name).read_bytes() for name in kept}


def tiny_config(architecture: str):
    """Two layers of width 8 with two heads, whatever the architecture."""
    import transformers

    family = architecture.removesuffix("ForCausalLM").removesuffix("ForMaskedLM").removesuffix("LMHeadModel")
    names = {"Gemma3": "Gemma3TextConfig", "BertModel": "BertConfig"}
    config_class = getattr(transformers, names.get(family, f"{family}Config"))
    wide = {"vocab_size": 300, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    rest = {"intermediate_size": 16, "max_position_embeddings": 64, "pad_token_id": 0}
    extra = {
        "GPTJ": {"rotary_dim": 2},
        "Gemma3": {"head_dim": 4, "num_key_value_heads": 1, "query_pre_attn_scalar": 4},
        "Llama": {"num_key_value_heads": 1},
        "Qwen2": {"num_key_value_heads": 1},
    }
    unused = {"bos_token_id": 1, "eos_token_id": 2}
    return config_class(**wide, **rest, **unused, **extra.get(family, {}))


def tiny_model(architecture: str, seed: int = 0):
    """Random weights drawn wide enough that no two logits tie."""
    import torch
    import transformers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, architecture)(tiny_config(architecture))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape))
    return model.eval()


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory):
    """(model, its files): a GPT-2 with a byte tokenizer that has <|endoftext|>."""
    model = tiny_model("GPT2LMHeadModel")
    tokenizer = byte_tokenizer(bos_token="<|endoftext|>", eos_token="<|endoftext|>")
    return model, saved_files(tmp_path_factory.mktemp("gpt2"), model, tokenizer)
