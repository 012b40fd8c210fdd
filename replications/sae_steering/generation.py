"""Sampling and scoring many short texts at once, over transformers' cache.

A batch may hold rows with different contexts and different steering. A context is read once however many rows have it,
unsteered and without its last token; steering starts with that token, whose output is the first that is generated.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from replications.dictionaries.stream import Site, at_site
from replications.sae_steering.steer import Steering
from replications.sae_steering.texts import padded

SCORED_AT_ONCE = 32  # rows whose logits over the whole vocabulary are held together


@dataclass
class Read:
    """Contexts after a first pass: cache and mask [n, T] of all but the last token, which is `last` [n]."""

    cache: Any
    mask: Int[Tensor, "n T"]
    last: Int[Tensor, " n"]

    def step(self, hf_model: Any, tokens: Int[Tensor, "n t"], keep: Any = 0) -> Float[Tensor, "n k V"]:
        """Read further tokens; logits at the positions `keep` of them (0: all)."""
        self.mask = torch.cat([self.mask, torch.ones_like(tokens)], dim=1)
        positions = (self.mask.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        out = hf_model(input_ids=tokens, attention_mask=self.mask, position_ids=positions,
                       past_key_values=self.cache, use_cache=True, logits_to_keep=keep)  # fmt: skip
        return out.logits

    def rows(self, some: slice) -> Read:
        """Some of the contexts, to be read on without changing this."""
        cache = copy.deepcopy(self.cache)
        cache.batch_select_indices(torch.arange(len(self.last), device=self.last.device)[some])
        return Read(cache, self.mask[some], self.last[some])


@torch.no_grad()
def read(hf_model: Any, contexts: Sequence[Sequence[int]]) -> Read:
    """Read contexts of two tokens or more, each different one once, padded on the left."""
    device = next(hf_model.parameters()).device
    different = list(dict.fromkeys(tuple(context[:-1]) for context in contexts))
    rows = torch.tensor([different.index(tuple(context[:-1])) for context in contexts], device=device)
    tokens, length = (part.to(device) for part in padded(different))
    width = tokens.shape[1]
    mask = (torch.arange(width, device=device)[None] >= width - length[:, None]).long()
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = hf_model(input_ids=tokens, attention_mask=mask, position_ids=positions, use_cache=True,
                     logits_to_keep=1).past_key_values  # fmt: skip
    cache.reorder_cache(rows)
    return Read(cache, mask[rows], torch.tensor([context[-1] for context in contexts], device=device))


@torch.no_grad()
def generate(
    hf_model: Any, contexts: Sequence[Sequence[int]], uniform: Float[Tensor, "n t"], *, temperature: float,
    banned: Sequence[int] = (), site: Site | None = None, steering: Steering | None = None,
) -> Int[Tensor, "n t"]:  # fmt: skip
    """`t` tokens after each context, by inverting the distribution function at the given draws; greedy at 0.

    The draws are the caller's, so that rows can share them: what differs then is what was done to the model.
    """
    state = read(hf_model, contexts)
    token, found = state.last, []
    hook = nullcontext() if steering is None or site is None else at_site(hf_model, site, steering)
    with hook:
        for draw in uniform.to(token.device).T:
            logits = state.step(hf_model, token[:, None])[:, -1].float()
            logits[:, list(banned)] = -torch.inf
            token = _pick(logits, draw, temperature)
            found.append(token)
    return torch.stack(found, dim=1).cpu()


def _pick(logits: Float[Tensor, "n V"], draw: Float[Tensor, " n"], temperature: float) -> Int[Tensor, " n"]:
    if temperature == 0:
        return logits.argmax(-1)
    below = (logits / temperature).softmax(-1).cumsum(-1)
    return torch.searchsorted(below, draw[:, None] * below[:, -1:], right=True)[:, 0].clamp(max=logits.shape[1] - 1)


@dataclass(frozen=True)
class Reading:
    """What the unsteered model makes of texts: mean -log P (nats per token) [n], and the distribution after the probe
    summed over each group of words, [n, groups]."""

    loss: Float[Tensor, " n"]
    topics: Float[Tensor, "n g"]


@torch.no_grad()
def judge(
    hf_model: Any, contexts: Sequence[Sequence[int]], texts: Int[Tensor, "n t"], probe: Sequence[int],
    groups: Sequence[Sequence[int]],
) -> Reading:  # fmt: skip
    """Read each text after its context, then the probe; no steering."""
    parts, state = [], read(hf_model, contexts)
    for start in range(0, len(contexts), SCORED_AT_ONCE):
        some = slice(start, start + SCORED_AT_ONCE)
        parts.append(_judge(hf_model, state.rows(some), texts[some], probe, groups))
    return Reading(torch.cat([part.loss for part in parts]), torch.cat([part.topics for part in parts]))


def _judge(
    hf_model: Any, state: Read, texts: Int[Tensor, "n t"], probe: Sequence[int], groups: Sequence[Sequence[int]]
) -> Reading:
    texts = texts.to(state.last.device)
    after = torch.tensor(list(probe), device=texts.device).expand(len(texts), -1)
    tokens = torch.cat([state.last[:, None], texts, after], dim=1)
    t = texts.shape[1]
    keep = torch.tensor([*range(t), tokens.shape[1] - 1], device=texts.device)
    logs = state.step(hf_model, tokens, keep).float().log_softmax(-1)
    loss = -logs[:, :t].gather(-1, texts[..., None])[..., 0].mean(dim=1)
    topics = torch.stack([logs[:, -1, sorted(set(group))].exp().sum(-1) for group in groups], dim=1)
    return Reading(loss.cpu(), topics.cpu())


@torch.no_grad()
def text_loss(
    hf_model: Any, prefixes: Sequence[Sequence[int]], texts: Sequence[Sequence[int]], *,
    site: Site | None = None, steering: Steering | None = None,
) -> Float[Tensor, " n"]:  # fmt: skip
    """Mean -log P (nats) of each text's tokens from the third on, after its prefix (none: an empty list).

    Steering, if any, acts on all positions but the first; the tokens are those that a steered position helps predict.
    """
    device = next(hf_model.parameters()).device
    rows = [[*prefix, *text] for prefix, text in zip(prefixes, texts, strict=True)]
    tokens, length = (part.to(device) for part in padded(rows, right=True))
    hook = nullcontext() if steering is None or site is None else at_site(hf_model, site, steering.after_first)
    with hook:
        logits = hf_model(input_ids=tokens, use_cache=False).logits[:, :-1].float()
    losses = -logits.log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    at = torch.arange(1, tokens.shape[1], device=device)[None]
    start = torch.tensor([len(prefix) + 2 for prefix in prefixes], device=device)[:, None]
    asked = (at >= start) & (at < length[:, None])
    return ((losses * asked).sum(1) / asked.sum(1)).cpu()
