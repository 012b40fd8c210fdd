"""A model that is run again and again from an edited layer on, with gradients, on what the edit changes.

The layers below an edit, and the columns before the first one that an edit reaches, are the unedited run's: they are
run once and kept. What is left goes through transformers' own layers as one list of tokens (see `causal/stack`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from replications.causal.runs import attention
from replications.causal.stack import Stack
from replications.errors import Refusal
from replications.models.families import PLACE, Turns, projection, supports
from replications.rome_editing.layout import Layout, Spans, lay_out
from replications.rome_editing.projection import Write, watched
from replications.rome_editing.rows import Row


@dataclass(frozen=True)
class Passing:
    """What an edit knows of the tokens that pass by: the copy that each belongs to, each copy's last subject token."""

    owner: Int[Tensor, " t"]
    subject: Int[Tensor, " r"]


# keys [token, d_mlp], values [token, d_model], where they belong -> the values that the edit makes of them
ProjectionEdit = Callable[[Tensor, Tensor, Passing], Tensor]


@dataclass
class Unedited:
    """The unedited run of n rows: `keys` and `values` of the projection at each row's last subject token by layer.

    `states` are after the last layer at all rows' asked columns, in order. The rest is what later runs start from.
    """

    spans: Spans
    states: Float[Tensor, "k d_model"]
    keys: dict[int, Float[Tensor, "n d_mlp"]]
    values: dict[int, Float[Tensor, "n d_model"]]
    resid_pre: dict[int, Float[Tensor, "token d_model"]] = field(default_factory=dict)
    past: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)  # attention's keys and values by layer
    turns: dict[str, Turns] = field(default_factory=dict)


class PackedModel:
    """A transformers model of a family that the engine knows. Its weights are never changed here."""

    def __init__(self, hf_model: Any) -> None:
        self.hf_model, self.stack = hf_model, Stack(hf_model)
        self.device = str(next(hf_model.parameters()).device)

    def logits(self, states: Float[Tensor, "k d_model"]) -> Float[Tensor, "k vocab"]:
        """States after the last layer onto the whole vocabulary."""
        return self.stack.logits(states)

    @torch.no_grad()
    def record(self, rows: Sequence[Row], layers: Sequence[int]) -> Unedited:
        """Run rows unedited and keep what edits in `layers` will start from."""
        lengths = [len(row.ids) for row in rows]
        begin = [sum(lengths[:i]) for i in range(len(rows))]
        spans = Spans(begin, lengths, [row.subject for row in rows], [row.asked for row in rows])
        layout = lay_out(spans, range(len(rows)), [0] * len(rows), self.stack.window, self.device)
        tokens = torch.tensor([token for row in rows for token in row.ids], device=self.device)
        hidden = self.stack.embed(tokens[None], layout.columns[None], None)
        turns = self.stack.rotary(hidden, layout.columns[None])
        base = Unedited(
            spans, hidden[0], {}, {}, turns={kind: tuple(p[0] for p in pair) for kind, pair in turns.items()}
        )
        hidden = self._sweep(base, layout, hidden[0], 0, keep=layers)
        base.states = hidden[layout.asked]
        return base

    def states(
        self,
        base: Unedited,
        rows: Sequence[int],
        layer: int,
        edit: ProjectionEdit | None,
        *,
        from_subject: bool = False,
    ) -> Float[Tensor, "k d_model"]:
        """States at the asked columns of copies of these rows, in order, with an edit of this layer's projection.

        `from_subject`: the edit changes nothing before the last subject token. With None, the weights as they are.
        """
        first = [base.spans.subject[row] if from_subject else 0 for row in rows]
        layout = lay_out(base.spans, rows, first, self.stack.window, self.device)
        live = Passing(layout.owner, layout.subject)
        write = None if edit is None else lambda keys, values: edit(keys, values, live)
        return self._sweep(base, layout, base.resid_pre[layer][layout.slots], layer, write=write)[layout.asked]

    def _sweep(
        self, base: Unedited, layout: Layout, hidden: Tensor, start: int, *, keep: Sequence[int] = (),
        write: Write | None = None,
    ) -> Float[Tensor, "t d_model"]:  # fmt: skip
        """Layers from `start` on; `write` edits that layer, `keep` are the layers to record on the way."""
        with self.stack.packed():
            for layer in range(start, self.stack.n_layers):
                with ExitStack() as hooks:
                    if layer in keep:
                        base.resid_pre[layer] = hidden
                        hooks.enter_context(self._recorded(base, layout, layer))
                    if write is not None and layer == start:
                        hooks.enter_context(watched(projection(self.hf_model, layer), write))
                    turn = base.turns.get(self.stack.kinds[layer])
                    turn = None if turn is None else tuple(part[layout.slots] for part in turn)
                    attend = self._attend(base, layout, layer, keeps=bool(keep) and layer >= min(keep))
                    hidden = self.stack.layer(layer, hidden, turn, attend)
        return hidden

    def _recorded(self, base: Unedited, layout: Layout, layer: int) -> Any:
        def record(keys: Tensor, values: Tensor) -> None:
            base.keys[layer], base.values[layer] = keys[layout.subject].clone(), values[layout.subject].clone()

        return watched(projection(self.hf_model, layer), record)

    def _attend(self, base: Unedited, layout: Layout, layer: int, keeps: bool) -> Callable[..., Tensor]:
        visible = layout.visible[self.stack.kinds[layer]]
        past: Mapping[int, tuple[Tensor, Tensor]] = base.past

        def attend(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
            if keeps:
                base.past[layer] = (k, v)
            before = past.get(layer, (k, v))  # in the first run these are all there are, and nobody looks at them
            k, v = (torch.cat([old, new])[layout.keys] for old, new in zip(before, (k, v), strict=True))
            z = attention(q[layout.queries], k, v, visible, scale, self.stack.score_cap)
            return z.flatten(0, 1)[layout.place]

        return attend


def open_model(hf_model: Any) -> PackedModel:
    """The model as editing sees it. Refuses one that the engine does not know."""
    if not supports(hf_model):
        raise Refusal(f"{hf_model.config.model_type}: editing needs a family of architectures that {PLACE} supports")
    return PackedModel(hf_model)
