"""What prompts show without any intervention: behaviour, attribution and attention in one pass; copying and repeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from replications import progress
from replications.causal import metrics
from replications.causal.patching import batch_pairs
from replications.causal.runs import run
from replications.evidence.shards import Keep
from replications.evidence.stats import Array
from replications.ioi_circuit import attention, attribution, copying
from replications.ioi_circuit.anatomy import Anatomy, recorded
from replications.ioi_circuit.path_patching import answers, grouped
from replications.ioi_circuit.stimuli import CircuitPrompt

ROWS = 32  # prompts of different lengths at a time
INEXACT = 1e-3  # logits by which a sum of parts may miss, in fp32, for every 10 logits of its largest part


@dataclass(frozen=True)
class Observed:
    """Arrays with prompts last: `arrays` by name (see `observe`), attention by pair of positions [layer, head, n]."""

    arrays: Mapping[str, Array]
    attention: Mapping[str, Array]

    @property
    def mean_attention(self) -> dict[str, Array]:
        """By pair of positions, [layer, head]."""
        return {name: values.mean(-1) for name, values in self.attention.items()}


def observe(anatomy: Anatomy, prompts: Sequence[CircuitPrompt], keep: Keep) -> Observed:
    """`logit_diff`, `p_io`, the parts of `attribution.attribute` and the attention of `attention.PAIRS`, all prompts.

    One template and name order at a time: positions are the same there.
    """
    groups = grouped(prompts, lambda prompt: (prompt.template, prompt.order, len(prompt.ids)))
    makers = {f"prompts/{i:04d}": partial(_observe, anatomy, [prompts[row] for row in rows])
              for i, rows in enumerate(groups.values())}  # fmt: skip
    parts = keep.each(makers, "prompts")
    back = torch.tensor([row for rows in groups.values() for row in rows]).argsort()
    merged = {name: torch.cat([part[name] for part in parts], -1)[..., back].double().numpy() for name in parts[0]}
    looks = {name: merged.pop(name) for name in attention.PAIRS}
    return Observed(merged, looks)


@torch.inference_mode()
def _observe(anatomy: Anatomy, prompts: Sequence[CircuitPrompt]) -> dict[str, Tensor]:
    """Of prompts with the same positions. ValueError if the parts do not add up to the logit difference."""
    made = recorded(anatomy, [prompt.ids for prompt in prompts], [*attribution.SITES, "q"])
    io, s = answers(prompts, anatomy.device).unbind(1)
    rows, stack = torch.arange(len(prompts), device=anatomy.device), anatomy.stack
    logit_diff = metrics.logit_diff(torch.stack([io, s], dim=1))(stack, made.answer_state, rows)
    parts = attribution.attribute(anatomy, made, io, s)
    largest = torch.cat([parts["attn"], parts["mlp"]]).abs().amax(0).clamp(min=10) / 10
    miss = ((attribution.total(parts) - logit_diff).abs() / largest).max()
    if miss > INEXACT:
        raise ValueError(f"{stack.config.model_type}: parts miss the logit difference by {float(miss):.2g}")
    p_io = metrics.probability(io)(stack, made.answer_state, rows)
    looks = attention.between(anatomy, made, attention.columns(prompts[0]))
    return {"logit_diff": logit_diff, "p_io": p_io} | parts | looks


def logit_diffs(anatomy: Anatomy, prompts: Sequence[CircuitPrompt], ids: Sequence[Sequence[int]], keep: Keep) -> Array:
    """Logit differences [n] of other texts with the same answers, such as the prompts after an unrelated sentence."""
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    batches = [order[begin : begin + ROWS] for begin in range(0, len(order), ROWS)]
    makers = {f"prefixed/{i:04d}": partial(_logit_diffs, anatomy, [prompts[row] for row in rows],
                                           [ids[row] for row in rows])
              for i, rows in enumerate(batches)}  # fmt: skip
    parts = keep.each(makers, "prefixed")
    back = torch.tensor(order).argsort()
    return torch.cat([part["logit_diff"] for part in parts])[back].double().numpy()


@torch.inference_mode()
def _logit_diffs(anatomy: Anatomy, prompts: Sequence[CircuitPrompt], ids: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    batch = batch_pairs(ids, ids, [(prompt.io_id, prompt.s_id) for prompt in prompts]).to(anatomy.device)
    made = run(anatomy.stack, batch.clean, batch.clean_mask)
    rows = torch.arange(len(prompts), device=anatomy.device)
    return {"logit_diff": metrics.logit_diff(batch.answers)(anatomy.stack, made.answer_state, rows)}


def copied(anatomy: Anatomy, prompts: Sequence[CircuitPrompt], n: int, keep: Keep) -> Array:
    """Whether each head copies, and copies negatively, [sign, layer, head, n], for n names in the first prompts."""

    def make() -> dict[str, Tensor]:
        some = prompts[: -(-n // 3)]
        groups = grouped(some, lambda prompt: len(prompt.ids)).values()
        states = [copying.name_states(anatomy, [some[row] for row in rows])
                  for rows in progress.watched(groups, "copying")]  # fmt: skip
        names, tokens = (torch.cat(side)[:n] for side in zip(*states, strict=True))
        return {"copies": copying.copies(anatomy, names, tokens)}

    return keep("copies", make)["copies"].double().numpy()


def repeats(anatomy: Anatomy, sequences: int, bos: int | None, seed: int, keep: Keep) -> dict[str, Array]:
    """`induction`, `duplicate` and `previous` scores [layer, head, sequence] on random repeated tokens."""
    vocabulary = anatomy.stack.config.vocab_size

    def make() -> dict[str, Tensor]:
        tokens = attention.random_repeats(vocabulary, sequences, bos, seed).to(anatomy.device)
        parts = [attention.repeat_scores(anatomy, some) for some in progress.watched(tokens.split(4), "repeats")]
        return {name: torch.cat([part[name] for part in parts], -1) for name in parts[0]}

    return {name: score.double().numpy() for name, score in keep("repeats", make).items()}
