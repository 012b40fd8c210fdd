"""Does a gradient find the circuit? Head importance on the task, and how well it ranks the circuit's heads.

The importance of a head is |(its mean over the twins - its own output) . gradient of the logit difference|, summed over
positions, averaged over prompts: a first-order estimate of what knocking it out would do (HISP in Conmy et al. 2023,
section 4; Michel et al. 2019). Gradients are taken by TransformerLens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from replications.causal.patching import unembedding_only
from replications.evidence.stats import Array, auroc
from replications.ioi_circuit.stimuli import CircuitPrompt
from replications.ioi_faithfulness.circuits import Head


def importance(bridge: Any, prompts: Sequence[CircuitPrompt], instead: Sequence[Tensor]) -> Tensor:
    """Importance [n, layer, head] of every head on every prompt; `instead` [n, T, head, d_head] by layer."""
    answers = torch.tensor([(p.io_id, p.s_id) for p in prompts], device=instead[0].device)
    vocabulary, columns = answers.unique(return_inverse=True)
    scores = torch.zeros(len(prompts), len(instead), instead[0].shape[2])
    with unembedding_only(bridge, vocabulary):
        for rows in _of_one_length(prompts):
            scores[rows] = _scores(bridge, [prompts[i].ids for i in rows], columns[rows], [z[rows] for z in instead])
    return scores


def _of_one_length(prompts: Sequence[CircuitPrompt]) -> list[list[int]]:
    """Rows of prompts that make a batch without padding."""
    lengths: dict[int, list[int]] = {}
    for i, prompt in enumerate(prompts):
        lengths.setdefault(len(prompt.ids), []).append(i)
    return list(lengths.values())


def _scores(bridge: Any, ids: list[tuple[int, ...]], columns: Tensor, instead: Sequence[Tensor]) -> Tensor:
    """Importance [r, layer, head] of prompts of one length, in one forward and backward pass."""
    from transformer_lens.tools.analysis.attribution_patching import cache_activation_and_gradient  # takes seconds

    def metric(logits: Tensor) -> Tensor:
        right, wrong = logits[:, -1].gather(1, columns).unbind(1)
        return (right - wrong).sum()  # rows do not see each other, so each gets its own gradient

    names = [f"blocks.{layer}.attn.hook_z" for layer in range(len(instead))]
    # The earliest point that is asked for gets no gradient of its own shape, so that has to be another one.
    points = ["hook_embed", *names]
    made = cache_activation_and_gradient(bridge, torch.tensor(ids, device=columns.device), metric, names_filter=points)
    gradients: Any = made.gradients  # of every name that was asked for
    width = len(ids[0])
    change = [z[:, -width:] - made.activations[name] for name, z in zip(names, instead, strict=True)]
    effect = [(d * gradients[name]).sum((1, 3)).abs() for name, d in zip(names, change, strict=True)]
    return torch.stack(effect, dim=1)


def roc_auc(scores: Array, heads: Iterable[Head]) -> Array:
    """Area under the ROC curve of scores [draw, layer, head] against membership in `heads`, [draw]."""
    member = np.zeros(scores.shape[1:], dtype=bool)
    member[tuple(zip(*heads, strict=True))] = True
    return auroc(scores[:, member].T, scores[:, ~member].T)
