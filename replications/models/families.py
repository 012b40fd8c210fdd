"""What the engine must know of each architecture: one entry per `config.model_type`, nothing elsewhere.

The layers are transformers' own modules. An entry says where they hang, how tokens become the first residual stream,
which sub-module writes `attn_out` and `mlp_out` into the stream, which one reads `resid_mid`, and what stands between
the last layer and the logits. Attention itself needs no entry: every family here asks transformers' registry for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Family:
    """Paths are dotted names: `body` from the model, the others from the body or from one of its layers."""

    body: str
    layers: str
    words: str  # the embedding whose output ROME's noise is added to
    embed: Callable[[Any, Tensor, Tensor], Tensor]  # body, word embeddings, positions -> first resid_pre
    attn_out: str  # its output is what attention adds to the residual stream (TransformerLens' hook_attn_out)
    mlp_out: str
    resid_mid: str | None  # its input is the residual stream between attention and MLP, where there is such a thing
    final: Callable[[Any, Tensor], Tensor]  # model, residual stream after the last layer -> input of the unembedding
    head: str = "lm_head"
    rotary: bool = True
    causal: bool = True


def _rotary_only(body: Any, words: Tensor, positions: Tensor) -> Tensor:
    return words


def _gpt2_embed(body: Any, words: Tensor, positions: Tensor) -> Tensor:
    return words + body.wpe(positions)


def _opt_embed(body: Any, words: Tensor, positions: Tensor) -> Tensor:
    words = words if body.project_in is None else body.project_in(words)
    return words + body.embed_positions(None, position_ids=positions)


def _opt_final(model: Any, hidden: Tensor) -> Tensor:
    body = model.model.decoder
    for module in (body.final_layer_norm, body.project_out):
        hidden = hidden if module is None else module(hidden)
    return hidden


def _bert_embed(body: Any, words: Tensor, positions: Tensor) -> Tensor:
    return body.embeddings(inputs_embeds=words, position_ids=positions)


def _llama_like(**differences: Any) -> Family:
    common: dict[str, Any] = {
        "body": "model", "layers": "layers", "words": "embed_tokens", "embed": _rotary_only,
        "attn_out": "self_attn", "mlp_out": "mlp", "resid_mid": "post_attention_layernorm",
        "final": lambda model, hidden: model.model.norm(hidden),
    }  # fmt: skip
    return Family(**common | differences)


FAMILIES = {
    "llama": _llama_like(),
    "qwen2": _llama_like(),
    "gemma3_text": _llama_like(
        attn_out="post_attention_layernorm", mlp_out="post_feedforward_layernorm", resid_mid="pre_feedforward_layernorm"
    ),
    "gpt2": Family(
        body="transformer", layers="h", words="wte", embed=_gpt2_embed,
        attn_out="attn", mlp_out="mlp", resid_mid="ln_2",
        final=lambda model, hidden: model.transformer.ln_f(hidden), rotary=False,
    ),
    "gpt_neox": Family(
        body="gpt_neox", layers="layers", words="embed_in", embed=_rotary_only,
        attn_out="attention", mlp_out="mlp", resid_mid="post_attention_layernorm",
        final=lambda model, hidden: model.gpt_neox.final_layer_norm(hidden),
    ),
    "opt": Family(
        body="model.decoder", layers="layers", words="embed_tokens", embed=_opt_embed,
        attn_out="self_attn", mlp_out="fc2", resid_mid="final_layer_norm", final=_opt_final, rotary=False,
    ),
    "bert": Family(
        body="bert", layers="encoder.layer", words="embeddings.word_embeddings", embed=_bert_embed,
        attn_out="attention.output", mlp_out="output.dense", resid_mid=None,  # both sub-layers normalise after adding
        final=lambda model, hidden: model.cls.predictions.transform(hidden), head="cls.predictions.decoder",
        rotary=False, causal=False,
    ),
}  # fmt: skip


def supports(hf_model: Any) -> bool:
    """Whether this model is of a family whose cells tests hold against TransformerLens, with a head to read."""
    config, family = hf_model.config, FAMILIES.get(hf_model.config.model_type)
    if family is None or not hasattr(hf_model, family.head.partition(".")[0]):
        return False
    # Variants of these families with other layers: OPT-350m normalises after each addition, so its sub-layers do not
    # add up; a decoder made of an encoder, or the reverse, sees other columns.
    other = ("is_decoder", "use_bidirectional_attention", "add_cross_attention")
    return getattr(config, "do_layer_norm_before", True) and not any(getattr(config, name, False) for name in other)


def submodule(module: nn.Module, path: str) -> Any:
    """`module.a.b` by its dotted name."""
    return module.get_submodule(path)
