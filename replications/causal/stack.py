"""A model's layers, called one at a time on a flat list of tokens that belong to many runs at once.

All cells are packed into one sequence [token, d_model], so that every matrix product sees as many rows as there are;
only attention knows which tokens see each other, and it is ours: transformers looks it up by name in its registry.
Within `packed()` the model's layers use it; the model is as it was afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import linear

from replications.models.families import FULL, PLACE, SLIDING, Attend, Turns, of, supports

NAME = "replications_packed"
Touch = Callable[[Tensor], None]  # sees one site of one layer, [token, d_model], and may change it in place


def _attend(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **options: Any) -> tuple[Tensor, None]:
    """What a layer calls instead of SDPA; `packed` reaches it through the layer's keyword arguments."""
    q, k, v = (part[0].transpose(0, 1) for part in (query, key, value))
    return options["packed"](q, k, v, options["scaling"])[None], None


class Stack:
    """One model as the engine sees it. ValueError for a family that no adapter supports, or in training."""

    def __init__(self, hf_model: Any) -> None:
        if not supports(hf_model):
            raise ValueError(f"the engine does not know {hf_model.config.model_type}: see {PLACE}")
        if hf_model.training:
            raise ValueError(f"{hf_model.config.model_type}: in training mode, where dropout changes every run")
        self.model, self.config = hf_model, hf_model.config
        self.family = family = of(hf_model)
        self.body, self.layers = family.body_of(hf_model), family.layers_of(hf_model)
        self.n_layers, self.n_heads = len(self.layers), self.config.num_attention_heads
        self.d_model, self.causal = self.config.hidden_size, family.causal
        self.kinds, self.window = family.kinds(self.config), family.window(self.config)
        self.score_cap, self.logit_cap = family.score_cap(self.config), family.logit_cap(self.config)
        self.head = hf_model.get_submodule(family.head)

    @contextmanager
    def packed(self) -> Iterator[None]:
        """Within this block the layers attend as `layer` is told."""
        from transformers import AttentionInterface  # seconds, and whoever has a model has paid them

        AttentionInterface.register(NAME, _attend)
        before = self.config._attn_implementation
        self.config._attn_implementation = NAME
        try:
            yield
        finally:
            self.config._attn_implementation = before

    def embed(
        self, tokens: Int[Tensor, "n T"], positions: Int[Tensor, "n T"], noise: Float[Tensor, "n T d"] | None
    ) -> Float[Tensor, "n T d_model"]:
        """The residual stream before the first layer; noise is added to the word embeddings."""
        words = self.words(tokens)
        return self.family.embed(self.body, words if noise is None else words + noise, positions)

    def words(self, tokens: Int[Tensor, ...]) -> Float[Tensor, "... d_embed"]:
        """Word embeddings as the model reads them: Gemma's are scaled by then, GPT-2's have no position yet."""
        return self.body.get_submodule(self.family.words)(tokens)

    def rotary(self, hidden: Tensor, positions: Int[Tensor, "n T"]) -> dict[str, Turns]:
        """What layers ask of the places of tokens, each [n, T, ...], by kind of layer; empty for learned positions."""
        return self.family.turns(self.body, hidden, positions, set(self.kinds))

    def visible(self, mask: Bool[Tensor, "n T"]) -> dict[str, Bool[Tensor, "n q T"]]:
        """Which columns each column sees, by kind of layer; padding sees itself, for a softmax over nothing is NaN."""
        columns = torch.arange(mask.shape[1], device=mask.device)
        back = columns[:, None] - columns
        seen, own = mask[:, None, :].expand(-1, len(columns), -1), back == 0
        if self.causal:
            seen = seen & (back >= 0)
        kinds = {FULL: seen | own}
        if self.window is not None:
            kinds[SLIDING] = (seen & (back < self.window)) | own
        return kinds

    def layer(
        self,
        index: int,
        hidden: Float[Tensor, "token d_model"],
        rotary: Turns | None,
        attend: Attend,
        edits: Mapping[str, Touch] = {},
    ) -> Float[Tensor, "token d_model"]:
        """One layer; `edits` by site: attn_out, mlp_out, resid_mid."""
        with self._hooked(index, edits):
            return self.family.run(self.layers[index], hidden, rotary, attend)

    @contextmanager
    def _hooked(self, index: int, edits: Mapping[str, Touch]) -> Iterator[None]:
        with ExitStack() as handles:
            for site, edit in edits.items():
                module = self._module(index, site)
                if site == "resid_mid":
                    handle = module.register_forward_pre_hook(lambda _, inputs, edit=edit: edit(_flat(inputs)))
                else:
                    handle = module.register_forward_hook(lambda _, inputs, out, edit=edit: edit(_flat(out)))
                handles.callback(handle.remove)
            yield

    def _module(self, index: int, site: str) -> Any:
        path = self.family.path(site, self.config)
        if path is None:
            raise ValueError(f"{self.config.model_type}: this architecture has no {site}")
        return self.layers[index].get_submodule(path)

    def logits(self, states: Float[Tensor, "k d_model"]) -> Float[Tensor, "k vocab"]:
        """Residual stream after the last layer onto the whole vocabulary."""
        return capped(self.head(self.family.final(self.model, states)), self.logit_cap)

    def logits_by_part(self, states: Float[Tensor, "k d_model"], size: int) -> Iterator[Float[Tensor, "k size"]]:
        """The same, `size` tokens of the vocabulary after the other."""
        final, bias = self.family.final(self.model, states), self.head.bias
        for i in range(0, len(self.head.weight), size):
            logits = linear(final, self.head.weight[i : i + size], None if bias is None else bias[i : i + size])
            yield capped(logits, self.logit_cap)

    def logits_of(self, states: Float[Tensor, "k d_model"], tokens: Int[Tensor, "k a"]) -> Float[Tensor, "k a"]:
        """The same for a few tokens of each row, one dot product each."""
        logits = torch.einsum("kd,kad->ka", self.family.final(self.model, states), self.head.weight[tokens])
        return capped(logits if self.head.bias is None else logits + self.head.bias[tokens], self.logit_cap)


def capped(x: Tensor, cap: float | None) -> Tensor:
    """Scores or logits kept below a cap, softly, where a family has one."""
    return x if cap is None else cap * torch.tanh(x / cap)


def _flat(value: Any) -> Float[Tensor, "token d_model"]:
    """The tensor that a module gets or gives, alone or first of a tuple, with one row per token."""
    tensor = value[0] if isinstance(value, tuple) else value
    return tensor.view(-1, tensor.shape[-1])
