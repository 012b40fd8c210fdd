"""All cells of a patching map in one pass over the layers, exactly, for decoders with rotary positions.

A cell is one patched state in one corrupted run. Below its layer it *is* the corrupted run, so it joins the batch when
its layer comes; before its column nothing can change (causal mask), so those keys and values are taken from the
corrupted run; and only the last position is unembedded, onto two answer tokens. The layers themselves are transformers'
own modules, called one at a time. What this saves against one whole forward pass per cell is arithmetic that cannot
change the result; tests hold it against TransformerLens' helpers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from rich.console import Console
from rich.progress import track
from torch import Tensor

from replications.lens.patching import Maps, PairBatch

FAMILIES = ("llama", "gemma3_text", "qwen2")  # config.model_type of the families that tests cover
ROWS = 32  # pairs at a time, which bounds memory: 32 pairs x 30 layers x 12 columns x 1536 take 0.7 GB


def supports(hf_model: Any) -> bool:
    """Whether this model is of a family whose layers are known to compose as below."""
    return hf_model.config.model_type in FAMILIES


@dataclass(frozen=True)
class Geometry:
    """What attention needs to know about positions, by layer type: additive masks and rotary angles."""

    mask: dict[str, Float[Tensor, "n 1 q T"]]
    rotary: dict[str, tuple[Float[Tensor, "n q d_head"], Float[Tensor, "n q d_head"]]]

    def part(self, rows: Int[Tensor, " r"], column: int) -> Geometry:
        """Some of the rows, queries from `column` on."""
        return Geometry(
            {kind: mask[rows][:, :, column:] for kind, mask in self.mask.items()},
            {kind: (cos[rows][:, column:], sin[rows][:, column:]) for kind, (cos, sin) in self.rotary.items()},
        )


@dataclass(frozen=True)
class BaseRun:
    """One unpatched run, per layer: residual stream before it, its keys and values, its head outputs."""

    resid_pre: list[Float[Tensor, "n T d_model"]]
    keys: list[Float[Tensor, "n kv T d_head"]]
    values: list[Float[Tensor, "n kv T d_head"]]
    z: list[Float[Tensor, "n T heads*d_head"]]
    last: Float[Tensor, "n d_model"]  # after all layers, at the last position


class _Recorder:
    """Stands where a layer expects its key-value cache, and keeps what passes by."""

    def __init__(self) -> None:
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *_: Any) -> tuple[Tensor, Tensor]:
        self.keys.append(keys)
        self.values.append(values)
        return keys, values


class _Prefix:
    """Stands where a layer expects its key-value cache: the corrupted run's columns before the patched one."""

    def __init__(self, base: BaseRun, rows: Int[Tensor, " r"], column: int) -> None:
        self.keys = [keys[rows][:, :, :column] for keys in base.keys]
        self.values = [values[rows][:, :, :column] for values in base.values]

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *_: Any) -> tuple[Tensor, Tensor]:
        times = len(keys) // len(self.keys[layer_idx])  # one copy per layer or head that has joined
        return (
            torch.cat([self.keys[layer_idx].repeat(times, 1, 1, 1), keys], dim=2),
            torch.cat([self.values[layer_idx].repeat(times, 1, 1, 1), values], dim=2),
        )


class Stack:
    """A decoder's layers, to be called one at a time on hidden states [cell, n, q, d_model]."""

    def __init__(self, hf_model: Any) -> None:
        self.model, self.config, self.head = hf_model.model, hf_model.config, hf_model.lm_head
        self.n_layers, self.n_heads = self.config.num_hidden_layers, self.config.num_attention_heads
        self.kinds = getattr(self.config, "layer_types", None) or ["full_attention"] * self.n_layers

    def geometry(self, mask: Tensor, hidden: Tensor) -> Geometry:
        """Causal (and where a layer has one, sliding-window) masks that hide the padding, and rotary angles."""
        width = mask.shape[1]
        query, key = torch.arange(width, device=mask.device)[:, None], torch.arange(width, device=mask.device)
        seen = (key <= query) & mask[:, None, None, :]
        own = query == key  # a padded query sees itself, since a softmax over nothing is not a number
        allowed = {"full_attention": seen | own}
        if "sliding_attention" in self.kinds:
            allowed["sliding_attention"] = (seen & (query - key < self.config.sliding_window)) | own
        positions = (mask.long().cumsum(dim=1) - 1).clamp(min=0)
        hide = torch.finfo(hidden.dtype).min
        return Geometry(
            {kind: torch.zeros(yes.shape, device=mask.device).masked_fill(~yes, hide) for kind, yes in allowed.items()},
            {kind: self._rotary(hidden, positions, kind) for kind in set(self.kinds)},
        )

    def _rotary(self, hidden: Tensor, positions: Tensor, kind: str) -> tuple[Tensor, Tensor]:
        if self.config.model_type == "gemma3_text":  # local and global layers turn at different speeds
            return self.model.rotary_emb(hidden, positions, kind)
        return self.model.rotary_emb(hidden, positions)

    def layer(self, index: int, cells: Tensor, geometry: Geometry, cache: Any) -> Float[Tensor, "cell n q d_model"]:
        """One layer applied to every cell; geometry and cache are those of the n rows."""
        kind, times = self.kinds[index], len(cells)
        cos, sin = (part.repeat(times, 1, 1) for part in geometry.rotary[kind])
        out = self.model.layers[index](
            cells.flatten(0, 1),
            attention_mask=geometry.mask[kind].repeat(times, 1, 1, 1),
            position_embeddings=(cos, sin),
            past_key_values=cache,
        )
        return out.unflatten(0, (times, -1))

    def logit_diff(self, last: Float[Tensor, "... n d_model"], answers: Int[Tensor, "n 2"]) -> Float[Tensor, "... n"]:
        """Logit of the first answer minus that of the second, from the residual stream after the last layer."""
        logits = torch.einsum("...nd,nad->...na", self.model.norm(last), self.head.weight[answers])
        if (cap := getattr(self.config, "final_logit_softcapping", None)) is not None:
            logits = cap * torch.tanh(logits / cap)
        return logits[..., 0] - logits[..., 1]

    @contextmanager
    def head_outputs(self, index: int, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
        """Within this block, `change` sees and may replace z [rows, q, heads*d_head] of one layer."""
        projection = self.model.layers[index].self_attn.o_proj
        handle = projection.register_forward_pre_hook(lambda _, inputs: (change(inputs[0]),))
        try:
            yield
        finally:
            handle.remove()


def base_run(stack: Stack, tokens: Int[Tensor, "n T"], mask: Tensor) -> tuple[BaseRun, Geometry]:
    """The whole forward pass of all rows, with everything kept that cells are made of."""
    hidden = stack.model.embed_tokens(tokens)
    geometry, recorder = stack.geometry(mask, hidden), _Recorder()
    resid_pre, z = [], []

    def keep(heads: Tensor) -> Tensor:
        z.append(heads)
        return heads

    for index in range(stack.n_layers):
        resid_pre.append(hidden)
        with stack.head_outputs(index, keep):
            hidden = stack.layer(index, hidden[None], geometry, recorder)[0]
    return BaseRun(resid_pre, recorder.keys, recorder.values, z, hidden[:, -1]), geometry


@torch.inference_mode()
def patch_maps(hf_model: Any, batch: PairBatch, *, heads: bool) -> Maps:
    """The same cells as `patching.patch_maps`, from the plain transformers model."""
    stack = Stack(hf_model)
    parts = [_chunk_maps(stack, batch.rows(rows), batch.width, heads) for rows in _chunks(len(batch.answers))]
    clean, corrupted, resid, z = zip(*parts, strict=True)
    return Maps(torch.cat(clean), torch.cat(corrupted), torch.cat(resid, -1), torch.cat(z, -1) if heads else None)


def _chunks(n: int) -> tuple[Tensor, ...]:
    return torch.arange(n).split(ROWS)


def _chunk_maps(
    stack: Stack, batch: PairBatch, width: int, heads: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    clean, _ = base_run(stack, batch.clean, batch.clean_mask)
    corrupted, geometry = base_run(stack, batch.corrupted, batch.corrupted_mask)
    base = stack.logit_diff(corrupted.last, batch.answers)
    resid = base.expand(stack.n_layers, width, -1).clone()
    patchable = batch.patchable
    columns = patchable.any(dim=0).nonzero()[:, 0].tolist()
    for column in track(columns, description="resid_pre", console=Console(stderr=True), transient=True):
        rows = patchable[:, column].nonzero()[:, 0]
        last = _resid_column(stack, clean, corrupted, geometry, rows, column)
        # A chunk may be narrower than the whole batch: its columns are the last ones.
        resid[:, width - batch.width + column, rows] = stack.logit_diff(last, batch.answers[rows])
    z = stack.logit_diff(_heads(stack, clean, corrupted, geometry), batch.answers) if heads else None
    return stack.logit_diff(clean.last, batch.answers), base, resid, z


def _resid_column(
    stack: Stack, clean: BaseRun, corrupted: BaseRun, geometry: Geometry, rows: Tensor, column: int
) -> Float[Tensor, "layer r d_model"]:
    """Every layer's `resid_pre` restored at one column: residual stream after all layers at the last position."""
    part, prefix, cells = geometry.part(rows, column), _Prefix(corrupted, rows, column), None
    for index in range(stack.n_layers):
        fresh = corrupted.resid_pre[index][rows, column:].clone()
        fresh[:, 0] = clean.resid_pre[index][rows, column]
        cells = fresh[None] if cells is None else torch.cat([cells, fresh[None]])
        cells = stack.layer(index, cells, part, prefix)
    return cells[:, :, -1]


def _heads(
    stack: Stack, clean: BaseRun, corrupted: BaseRun, geometry: Geometry
) -> Float[Tensor, "layer head n d_model"]:
    """Every head's z restored at the last column: residual stream after all layers at the last position."""
    n, column = len(clean.last), clean.resid_pre[0].shape[1] - 1
    rows = torch.arange(n, device=clean.last.device)
    part, prefix, cells = geometry.part(rows, column), _Prefix(corrupted, rows, column), None
    for index in range(stack.n_layers):
        fresh = corrupted.resid_pre[index][:, column:].expand(stack.n_heads, -1, -1, -1)
        cells = fresh if cells is None else torch.cat([cells, fresh])
        with stack.head_outputs(index, lambda z, index=index: _restore_heads(z, clean.z[index][:, -1], stack.n_heads)):
            cells = stack.layer(index, cells, part, prefix)
    return cells[:, :, -1].unflatten(0, (stack.n_layers, stack.n_heads))


def _restore_heads(z: Tensor, clean: Tensor, n_heads: int) -> Tensor:
    """z [cell*n, 1, heads*d_head] with head h of the h-th newest cell replaced by the clean run's [n, heads*d_head]."""
    n = len(clean)
    changed = z.unflatten(0, (-1, n)).unflatten(-1, (n_heads, -1)).clone()  # [cell, n, 1, head, d_head]
    own = torch.arange(n_heads, device=z.device)
    changed[len(changed) - n_heads + own, :, 0, own] = clean.unflatten(-1, (n_heads, -1)).transpose(0, 1)
    return changed.flatten(0, 1).flatten(-2)
