"""The probe of Tenney et al. 2019, many at once: every parameter has a leading axis for the probe it belongs to.

    h_i   = gamma * sum_l softmax(a)_l h_i^(l)            over the layers that the probe may see
    z_i   = W_side h_i + b_side                           256 wide, one map per side
    span  = sum_i softmax(v_side . z_i)_i z_i             over the pieces of the span
    y     = Linear(dropout(LayerNorm(tanh(Linear([span1; span2])))))

and an independent sigmoid per label. Sizes as in the authors' configuration. Probes share no parameter, so the gradient
of the sum of their losses is the gradient of each. P probes, K layers of all sources, d model width, C labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import torch
import torch.nn.functional as fn
from torch import Tensor

from replications.edge_probing.examples import Batch, Side

WIDTH = 256  # of the projections and of the classifier's hidden layer
DROPOUT = 0.3
Parameters = Mapping[str, Tensor]


@dataclass(frozen=True)
class Probe:
    """One probe: layers 0..`depth` of states `source` (0 trained, 1 random twin), real or shuffled labels, a seed."""

    depth: int
    seed: int
    source: int = 0
    shuffled: bool = False


@dataclass(frozen=True)
class Shape:
    """What the parameters' sizes follow from: layers of one source, model width, spans per target (1 or 2), labels."""

    layers: int
    width: int
    sides: int
    labels: int
    sources: int = 1
    hidden: int = WIDTH


def allowed(probes: Sequence[Probe], shape: Shape) -> Tensor:
    """[P, K] which layers each probe mixes."""
    layer = torch.arange(shape.layers * shape.sources)
    first = torch.tensor([probe.source * shape.layers for probe in probes])[:, None]
    last = first + torch.tensor([probe.depth for probe in probes])[:, None]
    return (layer >= first) & (layer <= last)


def initial(probes: Sequence[Probe], shape: Shape) -> dict[str, Tensor]:
    """Fresh parameters, as torch.nn.Linear draws them. Probes of the same seed start alike, whatever their depth."""
    drawn = {seed: _drawn(seed, shape) for seed in {probe.seed for probe in probes}}
    return {name: torch.stack([drawn[probe.seed][name] for probe in probes]) for name in next(iter(drawn.values()))}


def forward(p: Parameters, layers: Tensor, batch: Batch, states: Sequence[Tensor], keep: Tensor | None) -> Tensor:
    """Logits [P, targets, C].

    layers: `allowed`. states: per side [K, pieces, d]. keep: dropout's scaled mask [P, targets, hidden], None without.
    """
    weights = p["gamma"][:, None] * mixing(p, layers)
    spans = [_span(p, number, weights, side, states[number]) for number, side in enumerate(batch.sides)]
    hidden = torch.tanh(_classified(p, batch.sides, spans))
    normed = fn.layer_norm(hidden, hidden.shape[-1:]) * p["norm"][:, None] + p["norm_bias"][:, None]
    return torch.baddbmm(p["output_bias"][:, None], normed if keep is None else normed * keep, p["output"])


def mixing(p: Parameters, layers: Tensor) -> Tensor:
    """Scalar-mix weights s = softmax(a) over the layers each probe sees: [P, K]."""
    return torch.softmax(p["mix"].masked_fill(~layers, -torch.inf), dim=-1)


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean binary cross-entropy over targets and labels, for each probe: [P]."""
    return fn.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(dim=(1, 2))


def _span(p: Parameters, number: int, weights: Tensor, side: Side, states: Tensor) -> Tensor:
    """Self-attentive pooling of the projected mix: [P, spans, hidden]."""
    probes, (_, pieces, width) = len(weights), states.shape
    mixed = (weights @ states.flatten(1)).view(probes, pieces, width)
    projected = torch.baddbmm(p[f"projection_bias_{number}"][:, None], mixed, p[f"projection_{number}"])
    attention = (projected @ p[f"attention_{number}"][..., None])[..., 0]
    return _pooled(projected, _softmax(attention[:, side.piece], side), side)


def _softmax(scores: Tensor, side: Side) -> Tensor:
    """Softmax of scores [P, E] within each span."""
    span = side.span.expand(len(scores), -1)
    top = scores.new_full((len(scores), len(side.first)), -torch.inf).scatter_reduce(1, span, scores.detach(), "amax")
    risen = torch.exp(scores - top[:, side.span])
    return risen / torch.zeros_like(top).index_add(1, side.span, risen)[:, side.span]


def _pooled(projected: Tensor, share: Tensor, side: Side) -> Tensor:
    """Sums of projected pieces [P, R, hidden] by shares [P, E]: [P, spans, hidden]."""
    probes, pieces, hidden = projected.shape
    row = torch.arange(probes, device=share.device)[:, None]
    bags = {"input": side.piece + pieces * row, "offsets": side.first + share.shape[1] * row}
    summed = fn.embedding_bag(bags["input"].flatten(), projected.reshape(-1, hidden), bags["offsets"].flatten(),
                              mode="sum", per_sample_weights=share.flatten())  # fmt: skip
    return summed.view(probes, -1, hidden)


def _classified(p: Parameters, sides: Sequence[Side], spans: Sequence[Tensor]) -> Tensor:
    """Linear([span1; span2]) [P, targets, hidden], span by span: many targets share one."""
    blocks = p["hidden"].chunk(len(sides), dim=1)
    parts = [(pooled @ block).index_select(1, side.span_of)
             for side, pooled, block in zip(sides, spans, blocks, strict=True)]  # fmt: skip
    return sum(parts, p["hidden_bias"][:, None])


def _drawn(seed: int, shape: Shape) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def uniform(*size: int, fan_in: int) -> Tensor:
        return (2 * torch.rand(*size, generator=generator) - 1) / sqrt(fan_in)

    hidden, pooled = shape.hidden, shape.sides * shape.hidden
    drawn = {"mix": torch.zeros(shape.layers * shape.sources), "gamma": torch.ones(())}
    for side in range(shape.sides):
        drawn |= {
            f"projection_{side}": uniform(shape.width, hidden, fan_in=shape.width),
            f"projection_bias_{side}": uniform(hidden, fan_in=shape.width),
            f"attention_{side}": uniform(hidden, fan_in=hidden),
        }
    return drawn | {
        "hidden": uniform(pooled, hidden, fan_in=pooled),
        "hidden_bias": uniform(hidden, fan_in=pooled),
        "norm": torch.ones(hidden),
        "norm_bias": torch.zeros(hidden),
        "output": uniform(hidden, shape.labels, fan_in=hidden),
        "output_bias": uniform(shape.labels, fan_in=hidden),
    }
