"""Where heads look: from one named position to another in the prompts, and along stripes of repeated random tokens."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from replications.causal.runs import RecordedRun
from replications.causal.stack import Stack, capped
from replications.ioi_circuit.anatomy import Anatomy, recorded
from replications.ioi_circuit.stimuli import CircuitPrompt

PAIRS = {
    "END_IO": ("END", "IO"), "END_S1": ("END", "S1"), "END_S2": ("END", "S2"), "S2_S1": ("S2", "S1"),
    "S2_S1+1": ("S2", "S1+1"), "S1+1_S1": ("S1+1", "S1"),
}  # fmt: skip
BLOCK = 100  # random tokens, said twice (Wang et al. 2022, appendices H and I)


def columns(prompt: CircuitPrompt) -> Mapping[str, int]:
    """Token index of every named position."""
    return {"IO": prompt.io_at, "S1": prompt.s1_at, "S1+1": prompt.s1_at + 1, "S2": prompt.s2_at,
            "END": len(prompt.ids) - 1}  # fmt: skip


def between(anatomy: Anatomy, made: RecordedRun, where: Mapping[str, int]) -> dict[str, Float[Tensor, "layer head n"]]:
    """Attention of every head for each of PAIRS; `where` holds for all rows of the run, which must have kept q."""
    scales = score_scales(anatomy.stack, made)
    found: dict[str, list[Tensor]] = {name: [] for name in PAIRS}
    for layer, scale in enumerate(scales):
        rows = {at: patterns(anatomy.stack, made, layer, scale, [where[at]])[:, :, 0] for at in ("END", "S2", "S1+1")}
        for name, (query, key) in PAIRS.items():
            found[name].append(rows[query][..., where[key]].T)
    return {name: torch.stack(by_layer) for name, by_layer in found.items()}


@torch.inference_mode()
def patterns(
    stack: Stack, made: RecordedRun, layer: int, scale: float, queries: list[int]
) -> Float[Tensor, "n head query T"]:
    """Attention probabilities of one layer from some columns, out of the queries and keys that the run has kept."""
    q, k = made.site("q")[layer][:, queries], made.keys[layer]
    k = k.repeat_interleave(q.shape[2] // k.shape[2], dim=2)
    scores = capped(torch.einsum("nqhd,nthd->nhqt", q, k) * scale, stack.score_cap)
    visible = made.frame.visible[stack.kinds[layer]][:, None, queries]
    return scores.masked_fill(~visible, -torch.inf).softmax(-1)


@torch.inference_mode()
def score_scales(stack: Stack, made: RecordedRun) -> list[float]:
    """What each layer multiplies its scores with: it says so to whoever attends for it, here for a single token."""
    scales: list[float] = []

    def attend(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        scales.append(scale)
        return torch.zeros_like(q)

    token = torch.zeros(1, dtype=torch.long, device=made.asked.device)
    with stack.packed():
        for layer, kind in enumerate(stack.kinds):
            stack.layer(layer, made.resid_pre[layer].flatten(0, 1)[token], made.frame.turn(kind, token), attend)
    return scales


def random_repeats(vocabulary: int, sequences: int, bos: int | None, seed: int) -> Int[Tensor, "sequence T"]:
    """Sequences of 100 uniformly random tokens said twice, after a BOS where the model gets one."""
    generator = torch.Generator().manual_seed(seed)
    block = torch.randint(vocabulary, (sequences, BLOCK), generator=generator)
    start = torch.full((sequences, int(bos is not None)), bos or 0)
    return torch.cat([start, block, block], dim=1)


def repeat_scores(anatomy: Anatomy, tokens: Int[Tensor, "sequence T"]) -> dict[str, Float[Tensor, "layer head n"]]:
    """Mean attention per head and sequence: in the second block to the token after the same one in the first
    (`induction`), to the same one (`duplicate`), and everywhere to the token before (`previous`).

    TransformerLens' `head_detector` asks another question: it divides by all attention, of both blocks.
    """
    made = recorded(anatomy, tokens.tolist(), ["q"])
    start = tokens.shape[1] - 2 * BLOCK
    second = torch.arange(start + BLOCK, tokens.shape[1], device=anatomy.device)
    stripes = {"induction": (second, BLOCK - 1), "duplicate": (second, BLOCK),
               "previous": (torch.arange(start + 1, tokens.shape[1], device=anatomy.device), 1)}  # fmt: skip
    found: dict[str, list[Tensor]] = {name: [] for name in stripes}
    every = list(range(tokens.shape[1]))
    for layer, scale in enumerate(score_scales(anatomy.stack, made)):
        pattern = patterns(anatomy.stack, made, layer, scale, every)
        for name, (rows, back) in stripes.items():
            found[name].append(pattern[:, :, rows, rows - back].mean(-1).T)
    return {name: torch.stack(by_layer) for name, by_layer in found.items()}
