"""Llama and what is built like it: Qwen 2 and 3, Mistral."""

from __future__ import annotations

from typing import Any, ClassVar

from replications.models.families.base import FULL, GROUPED, SLIDING, Family


class Llama(Family):
    """Norms before attention and MLP, rotary positions; Qwen 3 also normalises queries and keys inside of attention."""

    model_types: ClassVar[tuple[str, ...]] = ("llama", "qwen2", "qwen3")
    classes: ClassVar[tuple[str, ...]] = ("LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
    tiny: ClassVar = {
        "llama": {"model_type": "llama", **GROUPED, "tie_word_embeddings": True},
        "qwen2": {"model_type": "qwen2", **GROUPED},
        "qwen3": {"model_type": "qwen3", **GROUPED, "head_dim": 16, "use_sliding_window": True, "sliding_window": 4,
                  "max_window_layers": 2},
    }  # fmt: skip

    body, words, norm = "model", "embed_tokens", "norm"
    attn_proj, mlp_proj = "self_attn.o_proj", "mlp.down_proj"
    attn_out, mlp_out, resid_mid = "self_attn", "mlp", "post_attention_layernorm"


class Mistral(Llama):
    """Llama in which every layer slides, or none."""

    model_types = ("mistral",)
    classes = ("MistralForCausalLM",)
    tiny: ClassVar = {"mistral": {"model_type": "mistral", **GROUPED, "sliding_window": 4}}

    def kinds(self, config: Any) -> list[str]:
        """All alike."""
        return [FULL if config.sliding_window is None else SLIDING] * config.num_hidden_layers
