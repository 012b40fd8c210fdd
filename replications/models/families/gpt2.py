"""GPT-2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from replications.models.families.base import SMALL, Unturned

if TYPE_CHECKING:
    from torch import Tensor


class Gpt2(Unturned):
    """Learned positions; weights are stored as [in, out]."""

    model_types = ("gpt2",)
    classes = ("GPT2LMHeadModel",)
    tiny: ClassVar = {
        "gpt2": {"model_type": "gpt2", "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64,
                 "vocab_size": SMALL["vocab_size"]},
    }  # fmt: skip

    body, layers, words, norm = "transformer", "h", "wte", "ln_f"
    attn_proj, mlp_proj = "attn.c_proj", "mlp.c_proj"
    attn_out, mlp_out, resid_mid = "attn", "mlp", "ln_2"

    def embed(self, body: Any, words: Tensor, positions: Tensor) -> Tensor:
        """Positions are added."""
        return words + body.wpe(positions)
