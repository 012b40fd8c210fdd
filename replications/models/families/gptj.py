"""GPT-J."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, ClassVar

from replications.models.families.base import SMALL, Attend, Family, Turns

if TYPE_CHECKING:
    from torch import Tensor


class GptJ(Family):
    """Attention and MLP in parallel, reading the same norm. Attention is its own: it asks no registry."""

    model_types = ("gptj",)
    classes = ("GPTJForCausalLM",)
    tiny: ClassVar = {
        "gptj": {"model_type": "gptj", "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64, "n_inner": 48,
                 "rotary_dim": 4, "vocab_size": SMALL["vocab_size"]},
    }  # fmt: skip

    body, layers, words, norm = "transformer", "h", "wte", "ln_f"
    attn_proj, mlp_proj = "attn.out_proj", "mlp.fc_out"
    attn_out, mlp_out, resid_mid = "attn", "mlp", None

    def turns(self, body: Any, hidden: Tensor, positions: Tensor, kinds: Collection[str]) -> dict[str, Turns]:
        """The positions [n, T] themselves: each layer looks its angles up."""
        return {kind: (positions,) for kind in kinds}

    def run(self, layer: Any, hidden: Tensor, turns: Turns | None, attend: Attend) -> Tensor:
        """One layer; for its time the function that attends is another."""
        assert turns is not None
        attn = layer.attn

        def packed(query: Tensor, key: Tensor, value: Tensor, mask: Any) -> tuple[Tensor, None]:
            q, k, v = (part[0].transpose(0, 1) for part in (query, key, value))
            return attend(q, k, v, 1 / attn.scale_attn).transpose(0, 1)[None], None

        attn._attn = packed
        try:
            return layer(hidden[None], position_ids=turns[0][None])[0][0]
        finally:
            del attn._attn  # the class' own shows again
