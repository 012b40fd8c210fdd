"""OPT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from replications.models.families.base import SMALL, Unturned

if TYPE_CHECKING:
    from torch import Tensor


class Opt(Unturned):
    """Learned positions; in some sizes the words are narrower than the stream."""

    model_types = ("opt",)
    classes = ("OPTForCausalLM",)
    tiny: ClassVar = {"opt": {"model_type": "opt", **SMALL, "ffn_dim": 48, "word_embed_proj_dim": 32}}

    body, words, norm = "model.decoder", "embed_tokens", "final_layer_norm"
    attn_proj, mlp_proj = "self_attn.out_proj", "fc2"
    attn_out, mlp_out, resid_mid = "self_attn", "fc2", "final_layer_norm"

    def supports(self, model: Any) -> bool:
        """OPT-350m normalises after each addition, so that its sub-layers do not add up."""
        return model.config.do_layer_norm_before and super().supports(model)

    def embed(self, body: Any, words: Tensor, positions: Tensor) -> Tensor:
        """Words are widened, positions added."""
        words = words if body.project_in is None else body.project_in(words)
        return words + body.embed_positions(None, position_ids=positions)

    def final(self, model: Any, hidden: Tensor) -> Tensor:
        """The norm, and narrowed again."""
        body = self.body_of(model)
        for module in (body.final_layer_norm, body.project_out):
            hidden = hidden if module is None else module(hidden)
        return hidden
