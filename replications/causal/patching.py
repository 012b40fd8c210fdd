"""Activation patching over a batch of prompt pairs, on TransformerLens' own helpers.

The convention, once, in prose. A pair is a clean and a corrupted prompt of equal token length. We run the
*corrupted* prompt and put back single activations of the *clean* run (denoising), and ask how much of the clean
behaviour returns: 0 is the corrupted run, 1 the clean one. Behaviour is the logit difference between the clean
prompt's answer and the corrupted prompt's answer at the last position, which equals the log ratio of their
probabilities.

Prompts of different lengths share a batch by padding on the left, so that the last position is the last column.
Positions before the first one in which a pair differs are the same in both runs: restoring them changes nothing. A
patch at one column cannot reach the columns before it, so these enter as cached keys and values of the corrupted run.
Only the last position is unembedded, and only onto the answer tokens. All of this is exact; a test holds it against
the plain helpers.

A pair whose prompts differ in length is aligned at its last token: the activation `k` tokens before the end of the
clean prompt goes where the corrupted prompt is `k` tokens before its end, as far back as the tokens correspond.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from replications import progress


@dataclass(frozen=True)
class PairBatch:
    """Token ids of n pairs, padded on the left to T columns; `answers` holds (clean, corrupted) answer ids.

    `aligned` is the number of trailing columns in which clean and corrupted tokens correspond: all of them when both
    prompts are equally long.
    """

    clean: Int[Tensor, "n T"]
    corrupted: Int[Tensor, "n T"]
    clean_mask: Bool[Tensor, "n T"]
    corrupted_mask: Bool[Tensor, "n T"]
    answers: Int[Tensor, "n 2"]
    aligned: Int[Tensor, " n"]

    @property
    def width(self) -> int:
        return self.clean.shape[1]

    @property
    def patchable(self) -> Bool[Tensor, "n T"]:
        """Columns that correspond and at which the two runs can differ: those from the first difference on."""
        differs = (self.clean != self.corrupted) | (self.clean_mask != self.corrupted_mask)
        columns = torch.arange(self.width, device=self.clean.device)
        return differs.cummax(dim=1).values & (columns >= self.width - self.aligned[:, None])

    def to(self, device: str | torch.device) -> PairBatch:
        return PairBatch(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})

    def rows(self, index: Int[Tensor, " k"]) -> PairBatch:
        """Some of the pairs, without the columns in which all of them are padding."""
        some = PairBatch(**{field.name: getattr(self, field.name)[index] for field in fields(self)})
        used = int((some.clean_mask | some.corrupted_mask).any(dim=0).nonzero()[0].item())
        names = ("clean", "corrupted", "clean_mask", "corrupted_mask")
        return replace(some, **{name: getattr(some, name)[:, used:] for name in names})


def batch_pairs(
    clean: Sequence[Sequence[int]],
    corrupted: Sequence[Sequence[int]],
    answers: Sequence[tuple[int, int]],
    aligned: Sequence[int] | None = None,
) -> PairBatch:
    """Pairs of token ids as one left-padded batch.

    Without `aligned`, both prompts of a pair must be equally long: ValueError otherwise.
    """
    if aligned is None:
        for i, (a, b) in enumerate(zip(clean, corrupted, strict=True)):
            if len(a) != len(b):
                raise ValueError(f"pair {i}: {len(a)} clean tokens against {len(b)} corrupted ones")
        aligned = [len(row) for row in clean]
    width = max(map(len, [*clean, *corrupted]))
    tokens = [torch.tensor([[0] * (width - len(row)) + list(row) for row in rows]) for rows in (clean, corrupted)]
    masks = [
        torch.tensor([[i >= width - len(row) for i in range(width)] for row in rows]) for rows in (clean, corrupted)
    ]
    return PairBatch(tokens[0], tokens[1], masks[0], masks[1], torch.tensor(answers), torch.tensor(aligned))


@contextmanager
def unembedding_only(bridge: Any, token_ids: Int[Tensor, " k"]) -> Iterator[None]:
    """Within this block the model's logits have k columns, one per token id, in that order."""
    head = bridge.unembed.original_component
    whole = {name: tensor for name in ("weight", "bias") if (tensor := getattr(head, name)) is not None}
    try:
        for name, tensor in whole.items():
            # The bridge keeps a missing bias as a zero buffer, so not both are parameters.
            kept = tensor[token_ids]
            setattr(head, name, torch.nn.Parameter(kept, False) if name in head._parameters else kept)
        yield
    finally:
        for name, tensor in whole.items():
            setattr(head, name, tensor)


class Continuation:
    """A bridge seen from column `start` on: the prefix is run once, its keys and values are shared by all cells.

    Offers what TransformerLens' patching helpers ask of a model: `cfg` and `run_with_hooks`.
    """

    def __init__(self, bridge: Any, tokens: Int[Tensor, "n T"], mask: Bool[Tensor, "n T"], start: int) -> None:
        self.bridge, self.cfg, self.mask, self.prefix = bridge, bridge.cfg, mask.long(), None
        if start > 0:
            _, self.prefix = bridge(
                tokens[:, :start], attention_mask=self.mask[:, :start], return_type="logits_and_cache", use_cache=True,
                logits_to_keep=1,
            )  # fmt: skip

    def run_with_hooks(self, tokens: Int[Tensor, "n t"], fwd_hooks: list | None = None) -> Float[Tensor, "n 1 k"]:
        # A forward pass appends to the cache it is given, so each one gets its own copy.
        prefix = {} if self.prefix is None else {"past_key_values": copy.deepcopy(self.prefix)}
        return self.bridge.run_with_hooks(
            tokens, fwd_hooks=fwd_hooks or [], attention_mask=self.mask, logits_to_keep=1, **prefix
        )


@dataclass(frozen=True)
class Maps:
    """Logit differences (nats) of the unpatched runs and of every cell; a cell not patchable is the corrupted run."""

    clean: Float[Tensor, " n"]
    corrupted: Float[Tensor, " n"]
    resid_pre: Float[Tensor, "layer column n"]
    head_z: Float[Tensor, "layer head n"] | None


@dataclass(frozen=True)
class Behaviour:
    """What the model answers without any patch, per pair: logit differences (nats) and P(clean answer)."""

    clean: Float[Tensor, " n"]
    corrupted: Float[Tensor, " n"]
    p_answer: Float[Tensor, " n"]


def answer_logits(bridge: Any, tokens: Int[Tensor, "n T"], mask: Bool[Tensor, "n T"]) -> Float[Tensor, "n 1 k"]:
    """Logits at the last position of each left-padded row."""
    return bridge(tokens, attention_mask=mask.long(), logits_to_keep=1)


def logit_diff(logits: Float[Tensor, "n 1 k"], answers: Int[Tensor, "n 2"]) -> Float[Tensor, " n"]:
    """Logit of the first answer minus that of the second at the last position, in nats."""
    right, wrong = logits[:, -1].gather(1, answers).unbind(1)
    return right - wrong


@torch.inference_mode()
def behaviour(bridge: Any, batch: PairBatch, *, chunk: int = 32) -> Behaviour:
    """Both runs of every pair, `chunk` pairs at a time, against the whole vocabulary."""
    parts = []
    for rows in progress.watched(torch.arange(len(batch.answers)).split(chunk), "asking"):
        part = batch.rows(rows)
        clean = answer_logits(bridge, part.clean, part.clean_mask)
        corrupted = answer_logits(bridge, part.corrupted, part.corrupted_mask)
        p_answer = clean[:, -1].softmax(-1).gather(1, part.answers)[:, 0]
        parts.append((logit_diff(clean, part.answers), logit_diff(corrupted, part.answers), p_answer))
    return Behaviour(*(torch.cat(column) for column in zip(*parts, strict=True)))


@torch.inference_mode()
def patch_maps(bridge: Any, batch: PairBatch, *, heads: bool) -> Maps:
    """All cells `resid_pre` x layer x column, and optionally head output `z` at the last column x layer x head.

    Denoising with symmetric token replacement (Wang et al. 2022, section 3; Zhang & Nanda 2023), one forward pass of
    `transformer_lens.patching` per layer and column, or per layer for the heads.
    """
    vocabulary, columns = batch.answers.unique(return_inverse=True)
    with unembedding_only(bridge, vocabulary):
        clean = logit_diff(answer_logits(bridge, batch.clean, batch.clean_mask), columns)
        corrupted = logit_diff(answer_logits(bridge, batch.corrupted, batch.corrupted_mask), columns)
        narrow = replace(batch, answers=columns)
        resid = _resid_map(bridge, narrow, corrupted)
        return Maps(clean, corrupted, resid, _head_map(bridge, narrow) if heads else None)


def _resid_map(bridge: Any, batch: PairBatch, corrupted: Float[Tensor, " n"]) -> Float[Tensor, "layer column n"]:
    """One column at a time: it takes up the corrupted run there, for the rows that can have changed by then."""
    from transformer_lens import patching  # costs seconds, and is only for models that our engine does not know

    patch: Any = patching.generic_activation_patch  # whose types know neither `reduce` nor a stand-in for the model
    layers, patchable = bridge.cfg.n_layers, batch.patchable
    activations = _clean_activations(bridge, batch, "hook_resid_pre")
    cells = pd.DataFrame({"layer": range(layers), "pos": 0})
    values = corrupted.expand(layers, batch.width, -1).clone()
    columns = patchable.any(dim=0).nonzero()[:, 0].tolist()
    for column in progress.watched(columns, "patching columns"):
        rows = patchable[:, column].nonzero()[:, 0]
        tokens, mask, answers = batch.corrupted[rows], batch.corrupted_mask[rows], batch.answers[rows]
        result = patch(
            Continuation(bridge, tokens, mask, column), tokens[:, column:],
            {name: clean[rows][:, column:] for name, clean in activations.items()},
            partial(logit_diff, answers=answers), patching.layer_pos_patch_setter, "resid_pre",
            index_df=cells, reduce="none",
        )  # fmt: skip
        values[:, column, rows] = result.values
    return values


def _head_map(bridge: Any, batch: PairBatch) -> Float[Tensor, "layer head n"]:
    """One layer at a time: the batch is repeated once per head, and copy h has head h's output restored."""
    from transformer_lens import patching

    n, heads, last = len(batch.answers), bridge.cfg.n_heads, batch.width - 1
    tokens, mask, answers = (t.repeat(heads, 1) for t in (batch.corrupted, batch.corrupted_mask, batch.answers))

    def restore_own_head(z: Tensor, index: Sequence[int], clean: Tensor) -> Tensor:
        for head in range(heads):
            z[head * n : (head + 1) * n, -1, head] = clean[:, -1, head]
        return z

    patch: Any = patching.generic_activation_patch  # whose types know neither `reduce` nor a stand-in for the model
    result = patch(
        Continuation(bridge, tokens, mask, last), tokens[:, last:], _clean_activations(bridge, batch, "attn.hook_z"),
        partial(logit_diff, answers=answers), restore_own_head, "z",
        index_df=pd.DataFrame({"layer": range(bridge.cfg.n_layers)}), reduce="none",
    )  # fmt: skip
    return result.values.reshape(-1, heads, n)


def _clean_activations(bridge: Any, batch: PairBatch, site: str) -> dict[str, Tensor]:
    names = [f"blocks.{layer}.{site}" for layer in range(bridge.cfg.n_layers)]
    _, cache = bridge.run_with_cache(
        batch.clean, names_filter=names, attention_mask=batch.clean_mask.long(), logits_to_keep=1
    )
    return {name: cache[name] for name in names}
