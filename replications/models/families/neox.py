"""GPT-NeoX (Pythia)."""

from __future__ import annotations

from typing import Any, ClassVar

from replications.models.families.base import SMALL, Family


class NeoX(Family):
    """Attention and MLP in parallel, or one after the other where the config says so."""

    model_types = ("gpt_neox",)
    classes = ("GPTNeoXForCausalLM",)
    tiny: ClassVar = {
        "gpt_neox": {"model_type": "gpt_neox", **SMALL},
        "gpt_neox_sequential": {"model_type": "gpt_neox", **SMALL, "use_parallel_residual": False},
    }

    body, words, norm = "gpt_neox", "embed_in", "final_layer_norm"
    attn_proj, mlp_proj = "attention.dense", "mlp.dense_4h_to_h"
    attn_out, mlp_out, resid_mid = "attention", "mlp", "post_attention_layernorm"

    def path(self, site: str, config: Any) -> str | None:
        """In parallel nothing stands between attention and MLP."""
        return None if site == "resid_mid" and config.use_parallel_residual else super().path(site, config)
