"""What is read off a run: numbers at the asked column, from the residual stream after the last layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from replications.causal.runs import TOKENS
from replications.causal.stack import Stack

# stack, states [k, d_model], the base row of each [k] -> [k], or [k, m] for `together`
Metric = Callable[[Stack, Tensor, Tensor], Tensor]
LOGITS = 1 << 23  # bytes of logits at a time, which a CPU caches; only a probability needs the whole vocabulary


def logit_diff(answers: Int[Tensor, "n 2"]) -> Metric:
    """Logit of the first answer minus that of the second, nats; two dot products per cell."""

    def metric(stack: Stack, states: Float[Tensor, "k d"], rows: Int[Tensor, " k"]) -> Float[Tensor, " k"]:
        right, wrong = stack.logits_of(states, answers[rows]).unbind(-1)
        return right - wrong

    return metric


def log_ratio(answers: Int[Tensor, "n 2"]) -> Metric:
    """log P(first answer) / P(second): the softmax's denominator cancels, so it is the logit difference."""
    return logit_diff(answers)


def probability(answer: Int[Tensor, " n"]) -> Metric:
    """P(answer) against the whole vocabulary, of which a part at a time meets all states: it is the larger matrix."""

    def metric(stack: Stack, states: Float[Tensor, "k d"], rows: Int[Tensor, " k"]) -> Float[Tensor, " k"]:
        right = stack.logits_of(states, answer[rows][:, None])[:, 0]
        return (right - _log_normaliser(stack, states)).exp()

    return metric


def _log_normaliser(stack: Stack, states: Float[Tensor, "k d"]) -> Float[Tensor, " k"]:
    """Log of the sum over the vocabulary of exp(logit)."""
    parts = []
    for some in states.split(TOKENS):
        size = max(1, LOGITS // (4 * len(some)))
        parts.append(torch.stack([part.logsumexp(-1) for part in stack.logits_by_part(some, size)]).logsumexp(0))
    return torch.cat(parts)


def together(*several: Metric) -> Metric:
    """Several metrics of the same states, side by side: what comes out of `patch` is [C, m]."""

    def metric(stack: Stack, states: Float[Tensor, "k d"], rows: Int[Tensor, " k"]) -> Float[Tensor, "k m"]:
        return torch.stack([one(stack, states, rows) for one in several], dim=-1)

    return metric
