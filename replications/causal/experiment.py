"""What the patching rooms share: one set of pairs, run on the trained model and on its random twin."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from replications.catalogue import entries
from replications.causal import maps, patching
from replications.causal.patching import Behaviour, Maps, PairBatch
from replications.causal.roles import Cells
from replications.errors import Refusal
from replications.evidence.stats import Array
from replications.evidence.versions import versions
from replications.models import families, load
from replications.models.load import Loaded
from replications.stimuli.spans import Encoded, Encoder


@dataclass(frozen=True)
class Result:
    """One model on one set of pairs: behaviour on all of them, cells (and head outputs) on the measured ones."""

    behaviour: Behaviour
    cells: Cells
    head_z: Array | None  # [layer, head, n]

    @property
    def head_restoration(self) -> tuple[Array, Array]:
        """Numerator [layer, head, n] and denominator [n] of the head map: effect of the patch, total effect."""
        assert self.head_z is not None
        return self.head_z - self.cells.corrupted, self.cells.total_effect


def check_decoder(room: str, model: str) -> None:
    """Refuse an encoder before its weights are loaded: these rooms ask what comes next in a text."""
    if entries.find(model).kind == "encoder":
        decoders = [entry.id for entry in entries.load_catalogue().values() if entry.kind == "decoder"]
        raise Refusal(f"room {room} needs a decoder, which predicts the next token, and {model} is an encoder: try "
                      f"{decoders[0]}")  # fmt: skip


def encoder(loaded: Loaded) -> Encoder:
    """Text to token ids and character spans under the model's own BOS policy."""

    def encode(text: str) -> Encoded:
        ((ids, spans),) = load.encode_with_offsets(loaded, [text])
        return Encoded(text, ids, spans)

    return encode


def run_pairs(loaded: Loaded, batch: PairBatch, measured: Sequence[int], *, heads: bool, device: str) -> Result:
    """Behaviour of all pairs, patching maps of the measured ones."""
    batch = batch.to(device)
    behaviour, cells = _measure(loaded, batch, batch.rows(torch.tensor(measured)), heads)
    return Result(
        behaviour,
        Cells(_array(cells.clean), _array(cells.corrupted), _array(cells.resid_pre)),
        None if cells.head_z is None else _array(cells.head_z),
    )


def _measure(loaded: Loaded, batch: PairBatch, patched: PairBatch, heads: bool) -> tuple[Behaviour, Maps]:
    if families.supports(loaded.hf_model) and loaded.entry.kind == "decoder":
        return maps.behaviour(loaded.hf_model, batch), maps.patch_maps(loaded.hf_model, patched, heads=heads)
    family = loaded.hf_model.config.model_type
    warnings.warn(f"{family}: patched by TransformerLens' helpers, one forward pass per cell: slow", stacklevel=2)
    return patching.behaviour(loaded.bridge, batch), patching.patch_maps(loaded.bridge, patched, heads=heads)


def provenance(loaded: Loaded, params: dict[str, Any], device: str) -> dict[str, Any]:
    """What a reader needs to know about how the numbers were made: versions, threads, dtype, BOS, params."""
    return {
        "versions": versions(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "device": device,
        "dtype": "float32",
        "bos_id": loaded.bos_id,
        "params": params,
    }


def _array(tensor: torch.Tensor) -> Array:
    return tensor.detach().cpu().numpy().astype(np.float64)
