"""Direct logit attribution and the logit lens: what each part of the model writes towards IO and away from S.

The logit difference is a sum over everything that was added to the residual stream at END, seen through the final norm
with the scale that this run has there (TransformerLens' reference run does it so). The parts add up to the logit
difference exactly. The lens at a layer is the sum of what was written by then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from replications.causal.runs import RecordedRun
from replications.ioi_circuit.anatomy import Anatomy, seen_through, unembedding

SITES = ("z", "attn_out", "mlp_out")  # what the run must have kept


@torch.inference_mode()
def attribute(anatomy: Anatomy, made: RecordedRun, io: Int[Tensor, " n"], s: Int[Tensor, " n"]) -> dict[str, Tensor]:
    """Shares of logit(IO) - logit(S) in nats, n last.

    `embed` [n], `bias` [n] (of final norm and unembedding), `attn` [layer, n], `mlp` [layer, n], `heads` [layer, head,
    n], and `heads_io`, the heads' shares of logit(IO) alone.
    """
    (w_io, b_io), (w_s, b_s) = (unembedding(anatomy, tokens) for tokens in (io, s))
    state = made.answer_state
    towards = {"heads": seen_through(anatomy.final, state, w_io - w_s)}
    towards["heads_io"] = seen_through(anatomy.final, state, w_io)
    direction, nothing = towards["heads"], anatomy.final(torch.zeros_like(state[:1]))
    return {
        "embed": _dot(made.resid_pre[0][:, -1], direction),
        "bias": (nothing * (w_io - w_s)).sum(-1) + b_io - b_s,
        "attn": torch.stack([_dot(out[:, -1], direction) for out in made.site("attn_out")]),
        "mlp": torch.stack([_dot(out[:, -1], direction) for out in made.site("mlp_out")]),
    } | {name: head_shares(anatomy, made, where) for name, where in towards.items()}


def head_shares(anatomy: Anatomy, made: RecordedRun, direction: Float[Tensor, "n d"]) -> Float[Tensor, "layer head n"]:
    """Every head's output at END along a direction of the residual stream; the output bias belongs to no head."""
    shares = []
    for layer, z in enumerate(made.site("z")):
        last, w_o, towards = z[:, -1], anatomy.w_o[layer], direction
        norm = anatomy.attn_norm(layer)
        if norm is not None:
            towards = seen_through(norm, torch.einsum("nhe,hed->nd", last, w_o), direction)
        shares.append(torch.einsum("nhe,hed,nd->hn", last, w_o, towards))
    return torch.stack(shares)


def total(parts: dict[str, Tensor]) -> Float[Tensor, " n"]:
    """The logit difference as the sum of its parts."""
    return parts["embed"] + parts["bias"] + parts["attn"].sum(0) + parts["mlp"].sum(0)


def lens(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Logit difference [layer, n] read off the stream before each layer (`pre`) and after its attention (`mid`).

    Of tensors or of arrays.
    """
    written = (parts["attn"] + parts["mlp"]).cumsum(0) - parts["attn"] - parts["mlp"]
    pre = written + parts["embed"] + parts["bias"]
    return {"pre": pre, "mid": pre + parts["attn"]}


def _dot(x: Tensor, direction: Tensor) -> Float[Tensor, " n"]:
    return (x * direction).sum(-1)
