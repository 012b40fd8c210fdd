"""Copying score: would a head that looks at a name say that name? (Wang et al. 2022, section 3.1)

The residual stream at a name, after the first MLP, goes through the head's values and output, as if all its attention
were there, and through the final norm and the unembedding. The score is the share of names that come out among the five
likeliest tokens; the negative score asks the same with the sign of the head's output turned round.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from replications.ioi_circuit.anatomy import Anatomy, recorded
from replications.ioi_circuit.stimuli import CircuitPrompt

TOP = 5
WORDS = 4096  # of the vocabulary at a time


@torch.inference_mode()
def copies(
    anatomy: Anatomy, states: Float[Tensor, "n d"], tokens: Int[Tensor, " n"], signs: Sequence[int] = (1, -1)
) -> Bool[Tensor, "sign layer head n"]:
    """Whether each head, looking at a state, has its token among the five likeliest; for either sign of its output."""
    found = []
    for layer in range(anatomy.n_layers):
        out = torch.einsum("nhe,hed->hnd", _values(anatomy, layer, states), anatomy.w_o[layer])
        norm = anatomy.attn_norm(layer)
        out = out if norm is None else norm(out)
        found.append(torch.stack([_in_top(anatomy, sign * out, tokens) for sign in signs]))
    return torch.stack(found, dim=1)


def name_states(anatomy: Anatomy, prompts: Sequence[CircuitPrompt]) -> tuple[Float[Tensor, "n d"], Int[Tensor, " n"]]:
    """Streams after the first layer, thus after the first MLP, at IO, S1 and S2 of equally long prompts; and tokens."""
    made = recorded(anatomy, [prompt.ids for prompt in prompts], [])
    at = [(i, column) for i, p in enumerate(prompts) for column in (p.io_at, p.s1_at, p.s2_at)]
    rows, where = (torch.tensor(side, device=anatomy.device) for side in zip(*at, strict=True))
    ids = torch.tensor([prompt.ids for prompt in prompts], device=anatomy.device)
    return made.resid_pre[1][rows, where], ids[rows, where]


def _values(anatomy: Anatomy, layer: int, states: Float[Tensor, "n d"]) -> Float[Tensor, "n head d_head"]:
    """What the layer's heads would move from these states, one value per query head."""
    stack, kept = anatomy.stack, []

    def attend(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        kept.append(v.repeat_interleave(q.shape[1] // v.shape[1], dim=1))
        return torch.zeros_like(q)

    nowhere = torch.zeros(1, len(states), dtype=torch.long, device=states.device)  # values do not depend on positions
    turn = stack.rotary(states[None], nowhere).get(stack.kinds[layer])
    with stack.packed():
        stack.layer(layer, states, turn and tuple(part[0] for part in turn), attend)
    return kept[0]


def _in_top(anatomy: Anatomy, out: Float[Tensor, "head n d"], tokens: Int[Tensor, " n"]) -> Bool[Tensor, "head n"]:
    """Whether fewer than five words of the vocabulary are likelier; a case is dropped as soon as five are."""
    head, wanted = anatomy.stack.head, tokens.repeat(len(out))
    states = anatomy.final(out.flatten(0, 1))
    own = (states * head.weight[wanted]).sum(-1) + (0 if head.bias is None else head.bias[wanted])
    likelier = torch.zeros_like(wanted)
    open_cases = torch.arange(len(wanted), device=wanted.device)
    for begin in range(0, len(head.weight), WORDS):
        words = slice(begin, begin + WORDS)
        logits = states[open_cases] @ head.weight[words].T
        logits = logits if head.bias is None else logits + head.bias[words]
        column = wanted[open_cases] - begin
        itself = ((column >= 0) & (column < logits.shape[1])).nonzero()[:, 0]
        logits[itself, column[itself]] = -torch.inf
        likelier[open_cases] += (logits > own[open_cases, None]).sum(-1)
        open_cases = open_cases[likelier[open_cases] < TOP]
    return (likelier < TOP).view(out.shape[:2])
