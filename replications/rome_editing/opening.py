"""Which of the two ways of running an edited model fits which model."""

from __future__ import annotations

from typing import Any

from replications.models.families import supports
from replications.rome_editing.packed import PackedModel
from replications.rome_editing.padded import PaddedModel
from replications.rome_editing.projection import projection


def open_model(hf_model: Any) -> PackedModel | PaddedModel:
    """The model as editing sees it: packed where the engine knows the family, else by whole padded forward passes."""
    projection(hf_model, 0)  # refuses what nothing here can edit
    return PackedModel(hf_model) if supports(hf_model) else PaddedModel(hf_model)
