"""Activations of a model's hook points over a stream of windows, a block at a time.

A block is a few windows from all over the corpus: their activations at all sites, without the first position (BOS, or
the first token, on which attention rests and whose norm drowns every other), in an order drawn for the block. Block i
depends on nothing but i, so a stream can be entered at any block.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from replications.dictionaries.seeds import generator
from replications.errors import Refusal
from replications.models.families import as_map, of, projection

HOOK = {"resid_pre": "blocks.{}.hook_resid_pre", "mlp_out": "blocks.{}.hook_mlp_out",
        "mlp_post": "blocks.{}.mlp.hook_post"}  # fmt: skip
MEDIAN_STEPS = 20


@dataclass(frozen=True)
class Site:
    """A hook point: `resid_pre` (what enters layer `layer`), `mlp_post` (its neurons), `mlp_out` (what they write)."""

    name: str
    layer: int

    @classmethod
    def parse(cls, text: str) -> Site:
        """From `resid_pre.6`. Refuses anything else."""
        match = re.fullmatch(rf"({'|'.join(HOOK)})\.(\d+)", text)
        if match is None:
            raise Refusal(f"{text!r} is no hook point; one reads like resid_pre.6, with {', '.join(HOOK)}")
        return cls(match[1], int(match[2]))

    def __str__(self) -> str:
        return f"{self.name}.{self.layer}"

    @property
    def hook_name(self) -> str:
        """TransformerLens' name."""
        return HOOK[self.name].format(self.layer)

    def width(self, hf_model: Any) -> int:
        """Size of an activation here."""
        if self.name == "mlp_post":
            return as_map(projection(hf_model, self.layer)).shape[0]
        return hf_model.config.hidden_size


class _Enough(Exception):  # noqa: N818  (nothing went wrong)
    """Every site has been seen; the layers above need not be run."""


Overwrite = Callable[[Tensor], Tensor | None]  # sees an activation [n, T, width], may give another


@contextmanager
def at_site(hf_model: Any, site: Site, write: Overwrite) -> Iterator[None]:
    """Within this block `write` sees the site's activation in every forward pass, and may replace it."""
    module, before = _module(hf_model, site)

    def seen(value: Tensor) -> Tensor | None:
        if value.ndim != 3:
            raise Refusal(f"{hf_model.config.model_type}: its {site.name} has no axis of texts; only resid_pre will do")
        return write(value)

    def entering(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        new = seen(inputs[0])
        return None if new is None else (new, *inputs[1:])

    def leaving(_: nn.Module, __: Any, out: Any) -> Any:
        new = seen(out[0] if isinstance(out, tuple) else out)
        return new if new is None or not isinstance(out, tuple) else (new, *out[1:])

    handle = module.register_forward_pre_hook(entering) if before else module.register_forward_hook(leaving)
    try:
        yield
    finally:
        handle.remove()


def _module(hf_model: Any, site: Site) -> tuple[nn.Module, bool]:
    """The module whose input (True) or output (False) is the site. Refuses a family or layer that is not there."""
    family = of(hf_model)
    layers = family.layers_of(hf_model)
    if site.layer >= len(layers):
        raise Refusal(f"{site}: the model has {len(layers)} layers, counted from 0")
    if site.name == "mlp_post":
        return projection(hf_model, site.layer), True
    layer = layers[site.layer]
    return (layer, True) if site.name == "resid_pre" else (layer.get_submodule(family.mlp_out), False)


@torch.no_grad()
def activations(
    hf_model: Any, tokens: Int[Tensor, "n T"], sites: Sequence[Site], *, batch: int = 8
) -> dict[Site, Float[Tensor, "n T width"]]:
    """What the windows write at each site, in one pass that ends at the highest."""
    seen: dict[Site, list[Tensor]] = {site: [] for site in sites}
    device = next(hf_model.parameters()).device

    def keep(site: Site) -> Overwrite:
        def write(value: Tensor) -> None:
            seen[site].append(value.detach().clone())
            if all(len(parts) == len(seen[site]) for parts in seen.values()):
                raise _Enough

        return write

    with ExitStack() as hooks:
        for site in sites:
            hooks.enter_context(at_site(hf_model, site, keep(site)))
        for part in tokens.split(batch):
            with suppress(_Enough):
                hf_model.base_model(input_ids=part.to(device), use_cache=False)
    return {site: torch.cat(parts) for site, parts in seen.items()}


@dataclass(frozen=True)
class Stream:
    """The ordered windows of one model. `per_block` windows make a block."""

    hf_model: Any
    tokens: Int[Tensor, "n T"]
    sites: tuple[Site, ...]
    per_block: int
    seed: int

    @property
    def n_blocks(self) -> int:
        """Whole blocks; windows that fill none are left out."""
        return len(self.tokens) // self.per_block

    @property
    def tokens_per_block(self) -> int:
        """Activations of a block at one site."""
        return self.per_block * (self.tokens.shape[1] - 1)

    def windows(self, block: int) -> Int[Tensor, "w T"]:
        """The block's tokens."""
        return self.tokens[block * self.per_block : (block + 1) * self.per_block]

    def block(self, block: int) -> dict[Site, Float[Tensor, "n width"]]:
        """Activations of a block by site, all sites in the same order. Refuses what is not a number."""
        found = activations(self.hf_model, self.windows(block), self.sites)
        shuffled = torch.randperm(self.tokens_per_block, generator=generator("block", self.seed, block))
        return {site: _flat(site, value, block)[shuffled.to(value.device)] for site, value in found.items()}


def _flat(site: Site, value: Float[Tensor, "w T width"], block: int) -> Float[Tensor, "n width"]:
    rows = value[:, 1:]
    good = rows.isfinite().all(dim=-1)
    if not good.all():
        window, position = (~good).nonzero()[0].tolist()
        place = f"block {block}, window {window}, position {position + 1}"
        raise Refusal(f"the activations of {site} are not all finite ({place}): a dictionary cannot learn from NaN")
    return rows.reshape(-1, rows.shape[-1])


def scale_of(x: Float[Tensor, "n d"]) -> float:
    """The constant that brings inputs to a mean norm of sqrt(d), as Anthropic's updates and SAELens normalise them."""
    return float(x.shape[1] ** 0.5 / x.norm(dim=-1).mean())


def geometric_median(x: Float[Tensor, "n d"], steps: int = MEDIAN_STEPS) -> Float[Tensor, " d"]:
    """The point with the least summed distance to all inputs, by Weiszfeld's iteration."""
    centre = x.mean(dim=0)
    for _ in range(steps):
        weights = 1 / (x - centre).norm(dim=-1).clamp_min(1e-8)
        centre = (weights[:, None] * x).sum(dim=0) / weights.sum()
    return centre
