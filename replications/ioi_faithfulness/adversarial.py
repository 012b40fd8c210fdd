"""Prompts that name one of the two people once more, in a sentence between the two clauses (section 4.4).

"Then, Anna and Tom went to the store. **Anna had a good day.** Tom gave a ball to": with IO named twice as well, who is
repeated no longer says whom the prompt is about. Naming S a third time is the comparison.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from replications.causal import metrics
from replications.causal.runs import run
from replications.causal.stack import Stack
from replications.errors import Refusal
from replications.evidence import stats
from replications.evidence.stats import Array
from replications.ioi_circuit.stimuli import CircuitPrompt
from replications.ioi_faithfulness.knockouts import ROWS, padded
from replications.stimuli.spans import Encoder

KINDS = ("base", "extra_s", "extra_io")
ENDS = (".", "。")


def texts(prompt: CircuitPrompt, mention: str, prefix: str) -> dict[str, str]:
    """The prompt as it is, and with S or IO named once more before its last sentence."""
    cut = max(prompt.text.rfind(end) for end in ENDS) + 1
    first, last = prompt.text[:cut], prompt.text[cut:]
    more = {"extra_s": prompt.s, "extra_io": prompt.io}
    return {"base": prompt.text} | {kind: first + prefix + mention.format(N=name) + last for kind, name in more.items()}


def encoded(
    prompts: Sequence[CircuitPrompt], mentions: Sequence[str], encode: Encoder, prefix: str
) -> dict[str, list[list[int]]]:
    """Token ids by kind; the mentions take turns. Refuses a language without mentions."""
    if not mentions:
        raise Refusal("the language's stimulus file has no `ioi.mentions`: sentences with {N} that name one person")
    written = [texts(p, mentions[i % len(mentions)], prefix) for i, p in enumerate(prompts)]
    return {kind: [encode(text[kind]).ids for text in written] for kind in KINDS}


@torch.inference_mode()
def behaviour(stack: Stack, rows: Sequence[Sequence[int]], answers: Tensor, device: str) -> dict[str, Tensor]:
    """Logit difference (nats) and P(IO) of every prompt, both [n]; `answers` are the tokens of IO and S."""
    found, width = [], max(map(len, rows))
    for some in torch.arange(len(rows)).split(ROWS):
        made = run(stack, *padded([rows[i] for i in some.tolist()], width, device))
        pairs, here = answers[some].to(device), torch.arange(len(some), device=device)
        found.append((
            metrics.logit_diff(pairs)(stack, made.answer_state, here),
            metrics.probability(pairs[:, 0])(stack, made.answer_state, here),
        ))  # fmt: skip
    return dict(zip(("logit_diff", "p_io"), (torch.cat(parts) for parts in zip(*found, strict=True)), strict=True))


def quantities(found: dict[str, dict[str, Array]], weights: Array) -> dict:
    """Estimates by kind: logit difference, P(IO), error (share with S above IO); the others beside the base."""
    tree = {
        kind: {
            "logit_diff": stats.mean(values["logit_diff"], weights),
            "p_io": stats.mean(values["p_io"], weights),
            "error": stats.share(values["logit_diff"] < 0),
        }
        for kind, values in found.items()
    }
    base = found["base"]
    for kind in KINDS[1:]:
        more, n = found[kind], len(base["p_io"])
        share = stats.ratio_of_means(more["logit_diff"], base["logit_diff"], weights)
        wrong = weights @ ((more["logit_diff"] < 0).astype(float) - (base["logit_diff"] < 0))
        likelier = weights @ (more["p_io"] - base["p_io"])
        tree[kind] |= {
            "share": stats.interval(share, n), "more_errors": stats.interval(wrong, n),
            "p_io_change": stats.interval(likelier, n),
        }  # fmt: skip
    return tree


def arrays(tensors: dict[str, Tensor]) -> dict[str, Array]:
    """A shard's tensors as float64."""
    return {name: tensor.cpu().numpy().astype(np.float64) for name, tensor in tensors.items()}
