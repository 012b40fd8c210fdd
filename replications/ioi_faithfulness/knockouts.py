"""Knock-outs on IOI prompts: nodes in, logit differences out.

Knocking a head out at a position replaces its output `z` there by its mean over the ABC twins of prompts of the same
template and name order, at the same position (Wang et al. 2022, section 2.2). MLPs stay. F(C) is the mean logit
difference with every head that is no node of C knocked out, at all positions of the prompt; F(M) that of the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from replications.causal import ablate, metrics
from replications.causal.ablate import Base, Copies
from replications.causal.cells import ALL
from replications.causal.runs import run
from replications.causal.stack import Stack
from replications.causal.sweep import Edit, Tracks, answer_states
from replications.evidence.stats import Array
from replications.ioi_circuit.stimuli import CircuitPrompt
from replications.ioi_faithfulness.circuits import Head, Node

PromptTables = Float[Tensor, "n T ..."]  # what a site writes, by prompt and column
ROWS = 32  # prompts at a time
SETS = 256  # knock-out tables in memory at a time


@dataclass(frozen=True)
class Bench:
    """n prompts on one model, with what a knocked-out head writes: one base run that all knock-outs start from."""

    stack: Stack
    prompts: Sequence[CircuitPrompt]
    model: Base
    columns: Mapping[str, Int[Tensor, " n"]]  # role position -> column in the padded batch

    @property
    def answers(self) -> Int[Tensor, "n 2"]:
        """Token ids of IO and S."""
        return torch.tensor([(p.io_id, p.s_id) for p in self.prompts], device=self.model.out.device)

    def mask(self, nodes: Iterable[Node]) -> Bool[Tensor, "n layer T head"]:
        """True at these nodes, at each prompt's own columns."""
        marked, rows = torch.zeros_like(self.model.out), torch.arange(len(self.prompts), device=self.model.out.device)
        for layer, head, role in nodes:
            marked[rows, layer, self.columns[role], head] = True
        return marked

    def everywhere(self, heads: Iterable[Head]) -> Bool[Tensor, "n layer T head"]:
        """True at these heads, at every position."""
        marked = torch.zeros_like(self.model.out)
        for layer, head in heads:
            marked[:, layer, :, head] = True
        return marked

    def logit_diffs(
        self,
        tables: Iterable[Bool[Tensor, "n layer T head"]],
        *,
        base: Base | None = None,
        rows: Sequence[int] | None = None,
    ) -> Array:
        """Logit differences [table, row] with each table of heads knocked out, on all prompts or on some rows.

        `base` only saves work: a recorded knock-out of this bench that is nearer than the model itself.
        """
        index = torch.arange(len(self.prompts)) if rows is None else torch.tensor(list(rows))
        index, found = index.to(self.model.out.device), []
        metric = metrics.logit_diff(self.answers)
        for some in _batches(tables, SETS):
            out = torch.cat([table[index] for table in some])
            values = ablate.values(self.stack, base or self.model, Copies(index.repeat(len(some)), out), metric)
            found.append(values.view(len(some), len(index)))
        return torch.cat(found).cpu().numpy().astype(np.float64)

    def read(self, base: Base) -> Array:
        """Logit differences [n] of a recorded base."""
        rows = torch.arange(len(self.prompts), device=base.out.device)
        with torch.inference_mode():
            values = metrics.logit_diff(self.answers)(self.stack, base.run.answer_state, rows)
        return values.cpu().numpy().astype(np.float64)

    def only(self, nodes: Iterable[Node]) -> Base:
        """The circuit of these nodes: everything else knocked out, recorded as a base."""
        return ablate.knocked_out(self.stack, self.model, ~self.mask(nodes))

    def with_substitutes(self, instead: list[Tensor]) -> Bench:
        """The same prompts with other outputs for what is knocked out."""
        return replace(self, model=ablate.unchanged(self.model.run, instead))


def _batches(items: Iterable, size: int) -> Iterator[list]:
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def make_bench(stack: Stack, prompts: Sequence[CircuitPrompt], instead: list[Tensor], device: str) -> Bench:
    """The prompts' own run, padded on the left to the width of the substitutes."""
    width = instead[0].shape[1]
    tokens, mask = padded([p.ids for p in prompts], width, device)
    at = {
        "IO": [p.io_at for p in prompts], "S1": [p.s1_at for p in prompts], "S1+1": [p.s1_at + 1 for p in prompts],
        "S2": [p.s2_at for p in prompts], "END": [len(p.ids) - 1 for p in prompts],
    }  # fmt: skip
    shift = torch.tensor([width - len(p.ids) for p in prompts])
    columns = {role: (torch.tensor(places) + shift).to(device) for role, places in at.items()}
    return Bench(stack, prompts, ablate.unchanged(run(stack, tokens, mask), instead), columns)


def padded(rows: Sequence[Sequence[int]], width: int, device: str) -> tuple[Int[Tensor, "n T"], Bool[Tensor, "n T"]]:
    """Token ids on the left of which there is padding, and where there is none."""
    tokens = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[i >= width - len(row) for i in range(width)] for row in rows], device=device)
    return tokens, mask


@dataclass(frozen=True)
class TwinRuns:
    """What the ABC twins of n prompts write.

    `z` by way of averaging (`WAYS`) and layer, `mlp` by layer the mean, both by prompt and column; `states` after the
    last layer at END of each prompt's own twin.
    """

    z: dict[str, list[PromptTables]]
    mlp: list[PromptTables]
    states: Float[Tensor, "n d_model"]


def ways(prompts: Sequence[CircuitPrompt], twins: Sequence[CircuitPrompt]) -> dict[str, Float[Tensor, "n twin"]]:
    """Weights of each prompt's average: all twins of its template and name order, the first two, or its own alone."""
    alike = torch.tensor([[(p.template, p.order) == (q.template, q.order) for q in twins] for p in prompts])
    own = torch.tensor([[p is q for q in twins] for p in prompts])
    chosen = {"mean": alike, "mean_of_two": alike & (alike.cumsum(1) <= 2), "own": own}
    return {name: some / some.sum(1, keepdim=True) for name, some in chosen.items()}


@torch.inference_mode()
def run_twins(stack: Stack, prompts: Sequence[CircuitPrompt], twins: Sequence[CircuitPrompt], device: str) -> TwinRuns:
    """Run the ABC twins of `twins`, of which `prompts` are some, and average them by position for every prompt.

    All prompts of a template and order are equally long, so that their columns correspond.
    """
    width, weights = max(len(p.ids) for p in twins), {k: w.to(device) for k, w in ways(prompts, twins).items()}
    found = TwinRuns({way: [] for way in weights}, [], torch.zeros(len(prompts), stack.d_model, device=device))
    for rows in torch.arange(len(twins), device=device).split(ROWS):
        made = run(stack, *padded([twins[i].abc_ids for i in rows.tolist()], width, device), sites=("z", "mlp_out"))
        for way, by_layer in found.z.items():
            _add(by_layer, weights[way][:, rows], made.site("z"))
        _add(found.mlp, weights["mean"][:, rows], made.site("mlp_out"))
        found.states.add_(weights["own"][:, rows] @ made.answer_state)
    return found


def _add(sums: list[PromptTables], weights: Float[Tensor, "n r"], values: list[Float[Tensor, "r T ..."]]) -> None:
    """Add the weighted values to each layer's sum."""
    for layer, value in enumerate(values):
        part = torch.einsum("nr,r...->n...", weights, value)
        if layer < len(sums):
            sums[layer] += part
        else:
            sums.append(part)


@torch.inference_mode()
def without_mlps(bench: Bench, means: list[PromptTables], layers: Sequence[int]) -> Array:
    """Logit differences [n] with the MLPs of these layers replaced by their means, at all positions (appendix J)."""
    base, n, width = bench.model.run, len(bench.prompts), bench.model.run.frame.width
    rows = torch.arange(n, device=base.asked.device)
    cell, column = rows.repeat_interleave(width), torch.arange(width, device=rows.device).repeat(n)
    whole = torch.full_like(cell, ALL)

    def edits(layer: int) -> dict[str, Edit]:
        if layer not in layers:
            return {}
        return {"mlp_out": Edit(cell, column, whole, means[layer].flatten(0, 1))}

    tracks = Tracks(rows, torch.zeros_like(rows), torch.full_like(rows, min(layers)))
    states = answer_states(bench.stack, base, tracks, edits)
    return metrics.logit_diff(bench.answers)(bench.stack, states, rows).cpu().numpy().astype(np.float64)


@torch.inference_mode()
def divergence(bench: Bench, circuit: Base) -> Array:
    """KL(model || circuit) of the next-token distributions at END, nats, [n]."""
    stack, states = bench.stack, (bench.model.run.answer_state, circuit.run.answer_state)
    found = []
    for rows in torch.arange(len(bench.prompts)).split(ROWS):
        whole, part = (stack.logits(state[rows]).log_softmax(-1) for state in states)
        found.append((whole.exp() * (whole - part)).sum(-1))
    return torch.cat(found).cpu().numpy().astype(np.float64)
