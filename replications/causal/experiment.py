"""What the patching rooms share: one set of pairs, run on the trained model and on its random twin."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from replications.causal import maps, patching
from replications.causal.patching import Behaviour, Maps, PairBatch
from replications.causal.roles import RestoredStates
from replications.evidence.stats import Array
from replications.models import families
from replications.models.load import Loaded


@dataclass(frozen=True)
class Result:
    """One model on one set of pairs: behaviour on all of them, cells (and head outputs) on the measured ones."""

    behaviour: Behaviour
    cells: RestoredStates
    head_z: Array | None  # [layer, head, n]

    @property
    def head_restoration(self) -> tuple[Array, Array]:
        """Numerator [layer, head, n] and denominator [n] of the head map: effect of the patch, total effect."""
        assert self.head_z is not None
        return self.head_z - self.cells.corrupted, self.cells.total_effect


def run_pairs(loaded: Loaded, batch: PairBatch, measured: Sequence[int], *, heads: bool, device: str) -> Result:
    """Behaviour of all pairs, patching maps of the measured ones."""
    batch = batch.to(device)
    behaviour, cells = _measure(loaded, batch, batch.rows(torch.tensor(measured)), heads)
    return Result(
        behaviour,
        RestoredStates(_array(cells.clean), _array(cells.corrupted), _array(cells.resid_pre)),
        None if cells.head_z is None else _array(cells.head_z),
    )


def _measure(loaded: Loaded, batch: PairBatch, patched: PairBatch, heads: bool) -> tuple[Behaviour, Maps]:
    if families.supports(loaded.hf_model) and loaded.entry.kind == "decoder":
        return maps.behaviour(loaded.hf_model, batch), maps.patch_maps(loaded.hf_model, patched, heads=heads)
    family = loaded.hf_model.config.model_type
    warnings.warn(f"{family}: patched by TransformerLens' helpers, one forward pass per cell: slow", stacklevel=2)
    return patching.behaviour(loaded.bridge, batch), patching.patch_maps(loaded.bridge, patched, heads=heads)


def _array(tensor: torch.Tensor) -> Array:
    return tensor.detach().cpu().numpy().astype(np.float64)
