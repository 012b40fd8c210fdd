"""The states of every word piece at every layer: run once per model and text, kept on disk, shared by all probes.

Layer 0 is what enters the first block (embeddings), layer l what leaves block l: for a decoder the residual stream,
with no final norm. States are float16, each layer divided by a power of two where it would overflow, in safetensors
files of some hundred sentences that are mapped into memory. A run that is killed goes on with the next file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from replications import imports, progress
from replications.catalogue import store
from replications.errors import Refusal
from replications.models import families
from replications.models.load import Loaded
from replications.probing import wordpieces
from replications.probing.wordpieces import Pieces

Pooling = Literal["all", "first", "mean", "last"]
POOLINGS = ("all", "first", "mean", "last")
SENTENCES = 256  # per file
TOKENS = 512  # per forward pass, padding included: what it makes still fits a core's caches
SAMPLED = 1024  # values of each weight tensor that go into the key
LARGEST = 32768.0  # stored values stay below: half of what float16 can hold
LAYOUT = 2  # raise when the files would look different


@dataclass(frozen=True)
class Activations:
    """States of the words of some sentences, in their order, at layers 0..L.

    `pooling` says what a row is: one word (its first, last or mean piece) or, with "all", one word piece. Words that
    the tokenizer lost have rows of zeros when pooled, and an empty range when not; `kept` tells them.
    """

    chunks: list[dict[str, Tensor]]  # states [L+1, pieces, d] float16 and scale [L+1], memory-mapped
    pieces: np.ndarray  # [words, 2]: range of each word's pieces among all pieces
    first_word: np.ndarray  # [sentences + 1]
    counts: dict[str, int]
    pooling: Pooling

    @property
    def n_layers(self) -> int:
        """L + 1, embeddings included."""
        return self.chunks[0]["states"].shape[0]

    @property
    def width(self) -> int:
        """d, dimensions of a state."""
        return self.chunks[0]["states"].shape[2]

    @cached_property
    def kept(self) -> np.ndarray:
        """[words] whether a word has pieces at all."""
        return self.pieces[:, 1] > self.pieces[:, 0]

    def words(self, sentence: int) -> range:
        """Numbers of a sentence's words among all words: with pooled states, their rows."""
        return range(int(self.first_word[sentence]), int(self.first_word[sentence + 1]))

    def span(self, sentence: int, start: int, end: int) -> range:
        """Rows of the words [start, end) of a sentence. Refuses a span outside the sentence; may be empty when lost."""
        words = self.words(sentence)
        if not 0 <= start < end <= len(words):
            raise Refusal(f"sentence {sentence}: span [{start}, {end}) is not within its {len(words)} words")
        if self.pooling != "all":
            return words[start:end]
        ranges = self.pieces[words.start + start : words.start + end]
        held = ranges[ranges[:, 1] > ranges[:, 0]]
        return range(int(held[:, 0].min()), int(held[:, 1].max())) if len(held) else range(0)

    def layer(self, layer: int) -> Tensor:
        """All rows of one layer: [rows, d] float32."""
        states = torch.cat([chunk["states"][layer].float() * chunk["scale"][layer] for chunk in self.chunks])
        return states if self.pooling == "all" else _pooled(states, self.pieces, self.pooling)

    def at(self, rows: Tensor, out: Tensor | None = None) -> Tensor:
        """Some pieces at all layers, [L+1, len(rows), d] float32, in `out` if given; only what is asked for is read."""
        found = torch.empty(self.n_layers, len(rows), self.width) if out is None else out
        numbers, lengths = torch.bucketize(rows, self._ends, right=True).unique_consecutive(return_counts=True)
        runs = zip(numbers.tolist(), rows.split(lengths.tolist()), found.split(lengths.tolist(), dim=1), strict=True)
        for number, run, place in runs:
            chunk = self.chunks[number]
            local = run - (self._ends[number] - chunk["states"].shape[1])
            place.copy_(chunk["states"].index_select(1, local))
            if (chunk["scale"] != 1).any():
                place *= chunk["scale"][:, None, None]
        return found

    @cached_property
    def _ends(self) -> Tensor:
        """Number of the piece after each chunk's last."""
        return torch.tensor([chunk["states"].shape[1] for chunk in self.chunks]).cumsum(0)


def extract(
    loaded: Loaded,
    sentences: Sequence[Sequence[str]],
    *,
    pooling: Pooling = "all",
    separator: str = " ",
    cache: Path | None = None,
    limits: wordpieces.PieceLimits = wordpieces.LIMITS,
) -> Activations:
    """States of all words of all sentences, from disk where they are there already.

    What is on disk is the same for every `pooling`. Refuses no sentences, an unknown pooling, and a tokenizer that
    does not fit the words.
    """
    if pooling not in POOLINGS:
        raise Refusal(f"unknown pooling {pooling!r}: it should be one of {', '.join(POOLINGS)}")
    if not sentences or not all(sentences):
        raise Refusal("there are no sentences to extract, or one of them has no words")
    aligned = wordpieces.align_all(sentences, loaded, separator=separator, limit=_reach(loaded), limits=limits)
    cache = cache or store.cache_root()
    folder = _place(loaded, aligned, cache)
    parts = progress.watched(list(_parts(aligned)), "states of all layers")
    places = (folder / f"{number:05}.safetensors" for number in count())
    chunks = [_chunk(loaded, part, file, cache) for part, file in zip(parts, places, strict=False)]
    return Activations(chunks, _piece_ranges(aligned), _first_words(aligned), wordpieces.counts(aligned), pooling)


def states(loaded: Loaded, batch: Sequence[Sequence[int]]) -> Tensor:
    """States [L+1, sentences, longest, d] of token ids, padded on the right; those of the padding mean nothing."""
    ids, mask = _padded(batch, loaded.hf_model.config)
    body = loaded.hf_model.base_model
    seen: list[Tensor] = []
    blocks = families.of(loaded.hf_model).layers_of(loaded.hf_model)
    hooks = [blocks[0].register_forward_pre_hook(lambda _, args, kwargs: seen.append(_entering(args, kwargs)),
                                                 with_kwargs=True)]  # fmt: skip
    hooks += [block.register_forward_hook(lambda _, args, out: seen.append(_leaving(out))) for block in blocks]
    try:
        with torch.inference_mode():
            device = next(body.parameters()).device
            body(input_ids=ids.to(device), attention_mask=mask.to(device))
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(seen)


def _entering(args: tuple, kwargs: dict) -> Tensor:
    return args[0] if args else kwargs["hidden_states"]


def _leaving(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def _padded(batch: Sequence[Sequence[int]], config: Any) -> tuple[Tensor, Tensor]:
    """ids, mask [sentences, longest]."""
    width, pad = max(map(len, batch)), getattr(config, "pad_token_id", None) or 0
    ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in batch])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in batch])
    return ids, mask


def _chunk(loaded: Loaded, part: Sequence[Pieces], file: Path, cache: Path) -> dict[str, Tensor]:
    """The part's tensors, mapped from its file, which is made when it is not there or the disk has lost part of it."""
    for _ in range(2):
        try:
            return load_file(file)
        except (OSError, SafetensorError):
            store.put(cache, file, save(_run(loaded, part)))
    raise Refusal(f"{file} cannot be read back")


def _run(loaded: Loaded, part: Sequence[Pieces]) -> dict[str, Tensor]:
    """states [L+1, pieces, d] and scale [L+1] of the words' pieces of some sentences, in order; short ones together."""
    found: dict[int, Tensor] = {}
    for batch in _batches(part):
        ran = states(loaded, [part[row].ids for row in batch])
        for column, row in enumerate(batch):
            found[row] = ran[:, column, _owned(part[row])].cpu()
    whole = torch.cat([found[row] for row in range(len(part))], dim=1)
    largest = whole.abs().amax(dim=(1, 2)).clamp(min=LARGEST)
    scale = 2 ** torch.ceil(torch.log2(largest / LARGEST))
    return {"states": (whole / scale[:, None, None]).half().contiguous(), "scale": scale}


def _batches(part: Sequence[Pieces]) -> Iterator[list[int]]:
    """Rows of `part` in batches of about equal length and at most TOKENS tokens."""
    batch: list[int] = []
    for row in sorted(range(len(part)), key=lambda row: len(part[row].ids)):
        if batch and (len(batch) + 1) * len(part[row].ids) > TOKENS:
            yield batch
            batch = []
        batch.append(row)
    yield batch


def _owned(one: Pieces) -> list[int]:
    """Tokens that belong to a word, in order."""
    return sorted({token for start, end in one.words for token in range(start, end)})


def _piece_ranges(aligned: Sequence[Pieces]) -> np.ndarray:
    """[words, 2]: each word's range among the owned tokens of all sentences; empty for a lost word."""
    ranges, before = [], 0
    for one in aligned:
        place = {token: before + number for number, token in enumerate(_owned(one))}
        ranges += [(place[start], place[end - 1] + 1) if end > start else (before, before) for start, end in one.words]
        before += len(place)
    return np.array(ranges, dtype=np.int64)


def _first_words(aligned: Sequence[Pieces]) -> np.ndarray:
    return np.cumsum([0, *(len(one.words) for one in aligned)])


def _pooled(states: Tensor, pieces: np.ndarray, pooling: Pooling) -> Tensor:
    """One row per word of [pieces, d]: its first, last or mean piece; zeros for a word without pieces."""
    start, end = torch.from_numpy(pieces).unbind(1)
    kept = end > start
    if pooling == "mean":
        sums = torch.cat([states.new_zeros(1, states.shape[1], dtype=torch.float64), states.double().cumsum(0)])
        rows = ((sums[end] - sums[start]) / (end - start).clamp(min=1)[:, None]).float()
    else:
        rows = states[(start if pooling == "first" else end - 1).clamp(0, len(states) - 1)]
    return rows * kept[:, None]


def _parts(aligned: Sequence[Pieces]) -> list[Sequence[Pieces]]:
    return [aligned[start : start + SENTENCES] for start in range(0, len(aligned), SENTENCES)]


def _reach(loaded: Loaded) -> int:
    """Tokens per sentence: 512, or fewer where the model has fewer positions."""
    reach = families.of(loaded.hf_model).reach(loaded.hf_model.config)
    return min(reach or wordpieces.MAX_PIECES, wordpieces.MAX_PIECES)


def _place(loaded: Loaded, aligned: Sequence[Pieces], cache: Path) -> Path:
    """Folder of the states: named for the model, and by a digest of its weights, of the tokens and of what ran them."""
    digest = hashlib.sha256()
    made_by = [LAYOUT, SENTENCES, version("torch"), version("transformers"), loaded.entry.id, imports.digest(__name__)]
    digest.update(json.dumps([made_by, [[one.ids, one.words] for one in aligned]]).encode())
    for name, tensor in sorted(loaded.hf_model.base_model.state_dict().items()):
        flat = tensor.detach().flatten()
        digest.update(name.encode() + flat[:: max(1, len(flat) // SAMPLED)].cpu().numpy().tobytes())
    return cache / "activations" / f"{loaded.entry.id}-{digest.hexdigest()[:24]}"
