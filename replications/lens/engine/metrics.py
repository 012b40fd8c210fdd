"""What is read off a run: numbers at the asked column, from the residual stream after the last layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from replications.lens.engine.stack import Stack

# stack, states [k, d_model], the base row of each [k] -> [k]
Metric = Callable[[Stack, Tensor, Tensor], Tensor]
LOGITS = 1 << 25  # bytes of logits at a time, which a CPU caches; only a probability needs the whole vocabulary


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
    """P(answer) against the whole vocabulary."""

    def metric(stack: Stack, states: Float[Tensor, "k d"], rows: Int[Tensor, " k"]) -> Float[Tensor, " k"]:
        size = max(1, LOGITS // (4 * stack.head.weight.shape[0]))
        parts = []
        for some, row in zip(states.split(size), rows.split(size), strict=True):
            logits = stack.logits(some)
            parts.append((logits.gather(1, answer[row][:, None])[:, 0] - logits.logsumexp(-1)).exp())
        return torch.cat(parts)

    return metric
