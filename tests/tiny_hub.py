"""Tiny models made on the spot, and a folder that stands in for a mirror: nothing here needs a network."""

import hashlib
import os
import sys
import zipfile
from contextlib import ExitStack
from pathlib import Path

import pytest
import standin_hub
from toy_tokenizer import byte_tokenizer

from replications import files
from replications.catalogue import network, packages
from replications.catalogue.entries import ModelEntry

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "someone/tiny"
FILES = {"model.safetensors": bytes(range(256)) * 100, "config.json": b"{}"}
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
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setattr(network, "BACKOFF", 0.01)
    network.forget()
    packages._has_folders.cache_clear()
    return folder


@pytest.fixture
def serve(cache, monkeypatch):
    """Start a stand-in hub with these files, behind HF_ENDPOINT."""
    with ExitStack() as stack:

        def start(contents: dict[str, bytes], **fields) -> standin_hub.Hub:
            hub = stack.enter_context(standin_hub.running(standin_hub.Hub(contents, COMMIT, **fields)))
            monkeypatch.setenv("HF_ENDPOINT", hub.url)
            return hub

        yield start


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


def in_store(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "files").glob("*/*"))


def in_partial(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "partial").glob("*"))


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
    names = {"Gemma3": "Gemma3TextConfig"}
    config_class = getattr(transformers, names.get(family, f"{family.removesuffix('Model')}Config"))
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


def write_wheel(folder: Path, name: str, members: dict[str, bytes]) -> Path:
    """A minimal wheel of version 1.0 with these members; its code would fail if anything imported it."""
    stem = name.replace("-", "_")
    info = f"{stem}-1.0.dist-info"
    metadata = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{stem}/__init__.py": b"raise SystemExit('a package was imported')\n",
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{stem}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in (metadata | members).items():
            archive.writestr(member, data)
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def packaged(cache, tmp_path, monkeypatch, tiny):
    """A source of two wheels that hold a GGUF in halves, and the wheels that pip can find."""
    whole, folder = os.urandom(3000), tmp_path / "wheels"
    paths = [
        write_wheel(folder, "tiny-part1", {"tiny_part1/data/a": whole[:1000]}),
        write_wheel(folder, "tiny-part2", {"tiny_part2/data/b": whole[1000:]}),
    ]
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    parts = [
        {"wheel": "tiny-part1", "member": "tiny_part1/data/a"},
        {"wheel": "tiny-part2", "member": "tiny_part2/data/b"},
    ]
    names = ("tiny-part1", "tiny-part2")
    wheels = {name: {"version": "1.0", "sha256": files.sha256(path)} for name, path in zip(names, paths, strict=True)}
    contents = {"tiny.gguf": {"sha256": sha(whole), "parts": parts}}
    return {"kind": "package", "format": "gguf", "wheels": wheels, "files": contents}, whole
