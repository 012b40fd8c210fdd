"""The same for any causal model of transformers, by whole forward passes: slower, and without attention of our own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from replications.rome_editing.packed import Edit, Live
from replications.rome_editing.projection import projection, watched
from replications.rome_editing.rows import Row


@dataclass(frozen=True)
class PaddedBase:
    """As `packed.Base`, with nothing to start from but the rows."""

    rows: list[Row]
    states: Float[Tensor, "k d_model"]
    keys: dict[int, Float[Tensor, "n d_mlp"]]
    values: dict[int, Float[Tensor, "n d_model"]]


class PaddedModel:
    """A transformers model; `base_model` is its body and `get_output_embeddings` its unembedding."""

    def __init__(self, hf_model: Any) -> None:
        if hf_model.training:
            raise ValueError(f"{hf_model.config.model_type}: in training mode, where dropout changes every run")
        self.hf_model, self.head = hf_model, hf_model.get_output_embeddings()
        self.device = str(next(hf_model.parameters()).device)

    def logits(self, states: Float[Tensor, "k d_model"]) -> Float[Tensor, "k vocab"]:
        """States after the last norm onto the whole vocabulary."""
        return self.head(states)

    @torch.no_grad()
    def record(self, rows: Sequence[Row], layers: Sequence[int]) -> PaddedBase:
        """Run rows unedited; keys and values of the projections of `layers` are kept."""
        keys, values = {}, {}
        subject = _subjects(rows, self.device)

        def keeping(layer: int) -> Any:
            def keep(k: Tensor, v: Tensor) -> None:
                keys[layer], values[layer] = k[subject].clone(), v[subject].clone()

            return watched(projection(self.hf_model, layer), keep)

        with ExitStack() as hooks:
            for layer in layers:
                hooks.enter_context(keeping(layer))
            states = self._asked(rows)
        return PaddedBase(list(rows), states, keys, values)

    def states(
        self, base: PaddedBase, rows: Sequence[int], layer: int, edit: Edit | None, *, from_subject: bool = False
    ) -> Float[Tensor, "k d_model"]:
        """States at the asked columns of copies of these rows, with an edit; `from_subject` saves nothing here."""
        some = [base.rows[row] for row in rows]
        width = max(len(row.ids) for row in some)
        live = Live(torch.arange(len(some), device=self.device).repeat_interleave(width), _subjects(some, self.device))
        with ExitStack() as hooks:
            if edit is not None:
                module = projection(self.hf_model, layer)
                hooks.enter_context(watched(module, lambda keys, values: edit(keys, values, live)))
            return self._asked(some)

    def _asked(self, rows: Sequence[Row]) -> Tensor:
        """States after the last norm at the asked columns; padding is on the right, where no token looks."""
        width = max(len(row.ids) for row in rows)
        tokens = torch.tensor([[*row.ids, *[0] * (width - len(row.ids))] for row in rows], device=self.device)
        hidden = self.hf_model.base_model(input_ids=tokens, use_cache=False).last_hidden_state
        where = [(i, column) for i, row in enumerate(rows) for column in row.asked]
        i, column = torch.tensor(where, device=self.device).unbind(-1)
        return hidden[i, column]


def _subjects(rows: Sequence[Row], device: str) -> Tensor:
    """Numbers of the rows' last subject tokens in the flattened padded batch."""
    width = max(len(row.ids) for row in rows)
    return torch.tensor([i * width + row.subject for i, row in enumerate(rows)], device=device)
