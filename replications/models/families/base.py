"""The base of all adapters: what the project must know about a family of architectures, and knows nowhere else.

torch is not imported here: the report asks which families there are, and must stay cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

FULL, SLIDING = "full_attention", "sliding_attention"  # kinds of layer, as transformers calls them

# query, key, value [token, head, d_head] and the scale of the scores -> z [token, head, d_head]
Attend = Callable[["Tensor", "Tensor", "Tensor", float], "Tensor"]
Turns = tuple["Tensor", ...]  # what a layer asks of tokens' places: cosines and sines, or the places themselves

# Flags of a config that make other layers: a decoder made of an encoder, or the reverse, sees other columns.
VARIANTS = ("is_decoder", "use_bidirectional_attention", "add_cross_attention")

# Shapes of tiny models, on which tests hold every adapter against transformers and TransformerLens.
SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
         "vocab_size": 61, "max_position_embeddings": 64}  # fmt: skip
GROUPED = {**SMALL, "num_key_value_heads": 2}


class Family:
    """One family; what stands here holds for most, and each adapter says what differs.

    The layers are transformers' own modules, so nothing needs to be said of what stays inside one: norms before or
    after, norms of queries and keys, gates. Paths are dotted names: `body` and `head` from the model, `layers`, `words`
    and `norm` from the body, the others from a layer.
    """

    model_types: ClassVar[tuple[str, ...]] = ()  # values of `config.model_type`
    classes: ClassVar[tuple[str, ...]] = ()  # transformers' classes of whole models, with a head
    headless: ClassVar[Mapping[str, str]] = {}  # classes of models without one, and what each is loaded as instead
    bridged_as: ClassVar[Mapping[str, str]] = {}  # classes that TransformerLens knows by the name of a like one
    tiny: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # by a name of its own: what a tiny model's config is made of

    body: str
    layers = "layers"
    words: str  # the embedding whose output ROME's noise is added to
    norm: str  # between the last layer and the unembedding
    head = "lm_head"
    attn_proj: str  # from all heads' z to what attention writes
    attn_norm: str | None = None  # between what it writes and the residual stream
    mlp_proj: str  # from the neurons to what the MLP writes: the matrix that ROME edits
    attn_out: str  # its output is what attention adds to the residual stream (TransformerLens' hook_attn_out)
    mlp_out: str
    resid_mid: str | None  # its input is the residual stream between attention and MLP, where there is such a thing
    causal = True

    def supports(self, model: Any) -> bool:
        """Whether a model of this family has a head to read and the layers that tests hold against TransformerLens."""
        return hasattr(model, self.head.partition(".")[0]) and not any(
            getattr(model.config, name, False) for name in VARIANTS
        )

    def body_of(self, model: Any) -> Any:
        """The model without its head."""
        return model.get_submodule(self.body)

    def layers_of(self, model: Any) -> Any:
        """The list of layers."""
        return self.body_of(model).get_submodule(self.layers)

    def path(self, site: str, config: Any) -> str | None:
        """Where a layer's module of a site (attn_out, mlp_out, resid_mid) hangs, None where there is none."""
        return getattr(self, site)

    def embed(self, body: Any, words: Float[Tensor, "n T d_embed"], positions: Tensor) -> Float[Tensor, "n T d_model"]:
        """The residual stream before the first layer, of word embeddings and positions [n, T] counted from 0."""
        return words

    def final(self, model: Any, hidden: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """The residual stream after the last layer -> what is multiplied with the unembedding."""
        return self.body_of(model).get_submodule(self.norm)(hidden)

    def kinds(self, config: Any) -> list[str]:
        """The kind of each layer, FULL or SLIDING."""
        return getattr(config, "layer_types", None) or [FULL] * config.num_hidden_layers

    def window(self, config: Any) -> int | None:
        """How many columns, its own included, a sliding layer sees; None where no layer slides."""
        return config.sliding_window if SLIDING in self.kinds(config) else None

    def reach(self, config: Any) -> int | None:
        """The longest text in tokens, None where positions do not end."""
        return getattr(config, "max_position_embeddings", None)

    def score_cap(self, config: Any) -> float | None:
        """c where attention's scores s become c tanh(s / c) before the softmax."""
        return None

    def logit_cap(self, config: Any) -> float | None:
        """The same of the logits."""
        return None

    def turns(self, body: Any, hidden: Tensor, positions: Tensor, kinds: Collection[str]) -> dict[str, Turns]:
        """By kind of layer, each [n, T, ...]; here the rotary cosines and sines [n, T, d_head]."""
        return {kind: body.rotary_emb(hidden, positions) for kind in kinds}

    def run(
        self, layer: Any, hidden: Float[Tensor, "token d_model"], turns: Turns | None, attend: Attend
    ) -> Float[Tensor, "token d_model"]:
        """One layer, whose attention is `attend`, on a flat list of tokens.

        A family whose attention asks transformers' registry is told there (`causal/stack`), through keyword arguments.
        """
        options: dict[str, Any] = {"packed": attend, "attention_mask": None}
        if turns is not None:
            options["position_embeddings"] = tuple(part[None] for part in turns)
        return layer(hidden[None], **options)[0]

    def projection(self, model: Any, layer: int) -> nn.Module:
        """The MLP's output projection: a key is what goes into it, a value what comes out (Meng et al. 2022, 3.1)."""
        return self.layers_of(model)[layer].get_submodule(self.mlp_proj)

    def w_o(self, model: Any, layer: int) -> Float[Tensor, "head d_head d_model"]:
        """The map from each head's output z to what attention writes, as a view of the weight."""
        whole = as_map(self.layers_of(model)[layer].get_submodule(self.attn_proj)).detach()
        return whole.unflatten(0, (model.config.num_attention_heads, -1))


class Unturned(Family):
    """Families whose positions are in the embeddings, so that no layer asks for them."""

    def turns(self, body: Any, hidden: Tensor, positions: Tensor, kinds: Collection[str]) -> dict[str, Turns]:
        """Nothing."""
        return {}


def as_map(module: nn.Module) -> Float[Tensor, "d_in d_out"]:
    """A module's weight, such that out = in @ weight + bias, as a view; transformers' Conv1D already stores it so."""
    from torch import nn

    weight: Any = module.weight  # a Tensor; torch's types let an attribute of a module be a module
    return weight.T if isinstance(module, nn.Linear) else weight
