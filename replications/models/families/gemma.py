"""Gemma 2 and 3."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, ClassVar

from replications.models.families.base import GROUPED, Turns
from replications.models.families.llama import Llama

if TYPE_CHECKING:
    from torch import Tensor

TINY = {**GROUPED, "head_dim": 16, "sliding_window": 4, "query_pre_attn_scalar": 8,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}  # fmt: skip


class Gemma2(Llama):
    """Llama with norms after attention and MLP, too, sliding layers, and capped scores and logits.

    Its word embedding multiplies with the root of the width.
    """

    model_types = ("gemma2",)
    classes = ("Gemma2ForCausalLM",)
    tiny: ClassVar = {
        "gemma2": {"model_type": "gemma2", **TINY, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 5.0}
    }

    attn_norm = "post_attention_layernorm"
    attn_out, mlp_out = "post_attention_layernorm", "post_feedforward_layernorm"
    resid_mid = "pre_feedforward_layernorm"

    def score_cap(self, config: Any) -> float | None:
        """As the config says."""
        return config.attn_logit_softcapping

    def logit_cap(self, config: Any) -> float | None:
        """As the config says."""
        return config.final_logit_softcapping


class Gemma3(Gemma2):
    """Gemma 2 whose sliding layers turn at a speed of their own, and whose attention normalises queries and keys."""

    model_types = ("gemma3_text",)
    classes = ("Gemma3ForCausalLM",)
    tiny: ClassVar = {"gemma3": {"model_type": "gemma3_text", **TINY}}

    def score_cap(self, config: Any) -> float | None:
        """None, whatever the config says: transformers does not read it."""
        return None

    def turns(self, body: Any, hidden: Tensor, positions: Tensor, kinds: Collection[str]) -> dict[str, Turns]:
        """Cosines and sines of each kind's own speed."""
        return {kind: body.rotary_emb(hidden, positions, kind) for kind in kinds}
