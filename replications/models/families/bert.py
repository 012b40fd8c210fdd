"""Encoders: BERT, RoBERTa and XLM-R."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from replications.models.families.base import SMALL, Unturned

if TYPE_CHECKING:
    from torch import Tensor


class Bert(Unturned):
    """Learned positions; attention and MLP normalise after they have been added, so no module reads between them."""

    model_types: ClassVar[tuple[str, ...]] = ("bert",)
    classes: ClassVar[tuple[str, ...]] = ("BertForMaskedLM",)
    headless: ClassVar = {"BertModel": "BertForMaskedLM"}
    tiny: ClassVar = {"bert": {"model_type": "bert", **SMALL}}

    body, layers, words = "bert", "encoder.layer", "embeddings.word_embeddings"
    head = "cls.predictions.decoder"
    attn_proj, mlp_proj = "attention.output.dense", "output.dense"
    attn_out, mlp_out, resid_mid = "attention.output", "output.dense", None
    causal = False

    def embed(self, body: Any, words: Tensor, positions: Tensor) -> Tensor:
        """Positions and the first type of token are added, and the sum is normalised."""
        return body.embeddings(inputs_embeds=words, position_ids=positions)

    def final(self, model: Any, hidden: Tensor) -> Tensor:
        """One more layer without attention, which belongs to the head."""
        return model.cls.predictions.transform(hidden)


class Roberta(Bert):
    """BERT whose positions begin after the padding token's number."""

    model_types = ("roberta", "xlm-roberta")
    classes = ("RobertaForMaskedLM", "XLMRobertaForMaskedLM")
    headless: ClassVar = {"RobertaModel": "RobertaForMaskedLM", "XLMRobertaModel": "XLMRobertaForMaskedLM"}
    bridged_as: ClassVar = {"XLMRobertaForMaskedLM": "RobertaForMaskedLM"}
    tiny: ClassVar = {
        "roberta": {"model_type": "roberta", **SMALL, "pad_token_id": 1},
        "xlm_roberta": {"model_type": "xlm-roberta", **SMALL, "pad_token_id": 1},
    }

    body, head = "roberta", "lm_head.decoder"

    def reach(self, config: Any) -> int | None:
        """Without the places up to the padding token's number."""
        return config.max_position_embeddings - config.pad_token_id - 1

    def embed(self, body: Any, words: Tensor, positions: Tensor) -> Tensor:
        """As BERT, from the first position that a text has."""
        return super().embed(body, words, positions + body.embeddings.padding_idx + 1)

    def final(self, model: Any, hidden: Tensor) -> Tensor:
        """The same layer under other names."""
        from torch.nn.functional import gelu

        head = model.lm_head
        return head.layer_norm(gelu(head.dense(hidden)))
