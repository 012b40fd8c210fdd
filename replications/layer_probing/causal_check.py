"""What a model loses when the state that predicts a word loses the word's class: use, where probes show correlation.

A decoder predicts a word at the position before it. At some layers we take the state there, remove a subspace in which
a probe reads off whether a noun or a verb will follow, let the model go on, and ask how much probability the word has
lost, against random subspaces of the same rank (amnesic probing, Elazar et al. 2021). And because the word can be both,
how the odds of words move that are only nouns or only verbs. The engine runs only what can change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from replications.causal.cells import ALL
from replications.causal.runs import RecordedRun, run
from replications.causal.stack import Stack
from replications.causal.sweep import Edit, Tracks, answer_states
from replications.errors import Refusal
from replications.models.families import supports
from replications.models.load import Loaded

LOGITS = 1 << 25  # bytes of logits at a time
CELLS = 512  # edited states that go through the model together


@dataclass(frozen=True)
class Prompts:
    """Everything before a word, as one left-padded batch, and the word's first token.

    `nouns` and `verbs` are tokens of words that are always the one or the other.
    """

    tokens: Int[Tensor, "n T"]
    mask: Tensor  # [n, T]
    answers: Int[Tensor, " n"]
    nouns: Int[Tensor, " N"]
    verbs: Int[Tensor, " V"]


def has_head(loaded: Loaded) -> bool:
    """Whether the model predicts words at all, and reads from left to right: an encoder here has no head."""
    return loaded.entry.kind == "decoder" and supports(loaded.hf_model)


def prompts(
    ids: Sequence[Sequence[int]], first_piece: Sequence[int], nouns: Sequence[int], verbs: Sequence[int]
) -> Prompts:
    """Prompts from whole token ids and the place of the word's first token. Refuses a word with nothing before it."""
    if not all(first_piece):
        raise Refusal("a word that begins its sentence has nothing before it that could predict it")
    width = max(first_piece)
    rows = [[0] * (width - end) + list(one[:end]) for one, end in zip(ids, first_piece, strict=True)]
    mask = torch.arange(width) >= width - torch.tensor(first_piece)[:, None]
    answers = torch.tensor([one[end] for one, end in zip(ids, first_piece, strict=True)])
    return Prompts(torch.tensor(rows), mask, answers, torch.tensor(nouns), torch.tensor(verbs))


def base_run(stack: Stack, made: Prompts) -> RecordedRun:
    """The unedited run; its `resid_pre[l][:, -1]` are the predicting states that enter layer l."""
    return run(stack, made.tokens, made.mask)


@torch.inference_mode()
def edited(
    stack: Stack, base: RecordedRun, made: Prompts, layer: int, states: Float[Tensor, "conditions n d"]
) -> Float[Tensor, "2 conditions n"]:
    """What is predicted (see `unedited`) under every condition: what the predicting state at `layer` is replaced by."""
    conditions, n = states.shape[:2]
    row = torch.arange(n).repeat(conditions)
    flat = states.flatten(0, 1)
    found = []
    for some in torch.arange(len(row)).split(CELLS):
        column = base.asked[row[some]]
        tracks = Tracks(row[some], column, torch.full_like(some, layer))
        edit = Edit(torch.arange(len(some)), column, torch.full_like(some, ALL), flat[some])
        ended = answer_states(stack, base, tracks, partial(_edits_at, layer, edit))
        found.append(_predicted(stack, ended, made, row[some]))
    return torch.cat(found, dim=1).view(2, conditions, n)


def _edits_at(layer: int, edit: Edit, at: int) -> Mapping[str, Edit]:
    return {"resid_pre": edit} if at == layer else {}


@torch.inference_mode()
def unedited(stack: Stack, base: RecordedRun, made: Prompts) -> Float[Tensor, "2 n"]:
    """Of every prompt, nats: log P(word), and the log odds of all verbs against all nouns."""
    return _predicted(stack, base.answer_state, made, torch.arange(len(made.answers)))


def _predicted(
    stack: Stack, states: Float[Tensor, "k d"], made: Prompts, row: Int[Tensor, " k"]
) -> Float[Tensor, "2 k"]:
    size = max(1, LOGITS // (4 * stack.head.weight.shape[0]))
    return torch.cat([_read(stack.logits(some), made, made.answers[own])
                      for some, own in zip(states.split(size), row.split(size), strict=True)], dim=1)  # fmt: skip


def _read(logits: Float[Tensor, "k vocabulary"], made: Prompts, answers: Int[Tensor, " k"]) -> Float[Tensor, "2 k"]:
    log_p = logits.log_softmax(dim=-1).gather(1, answers[:, None])[:, 0]
    return torch.stack([log_p, logits[:, made.verbs].logsumexp(dim=1) - logits[:, made.nouns].logsumexp(dim=1)])
