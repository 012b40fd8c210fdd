"""Unpatched runs: everything of them that cells are made of, and which columns see which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from replications.causal.stack import Stack, capped
from replications.models.families import Turns

RECORDABLE = ("attn_out", "mlp_out", "resid_mid", "z", "q")
ShareDone = Callable[[float], None]  # told how much more of the whole, 1, is done
TOKENS = 1024  # at a time through a layer: enough rows for full speed, and its widest tensors stay in a CPU's caches


@dataclass(frozen=True)
class Grid:
    """Where n rows of T columns stand: padding, what sees what, and turns by token (row * T + column)."""

    mask: Bool[Tensor, "n T"]
    visible: dict[str, Bool[Tensor, "n q T"]]
    rotary: dict[str, Turns]

    @property
    def width(self) -> int:
        return self.mask.shape[1]

    @cached_property
    def alike(self) -> bool:
        """Whether no row is padded, so that all rows see the same columns."""
        return bool(self.mask.all())

    def turn(self, kind: str, slots: Int[Tensor, " token"]) -> Turns | None:
        """What a kind of layer asks of the places of some tokens."""
        return tuple(part[slots] for part in self.rotary[kind]) if self.rotary else None


@dataclass(frozen=True)
class RecordedRun:
    """One unpatched run of n rows of T columns, recorded per layer.

    `resid_pre` has one entry more than there are layers: the residual stream after the last. Keys and values are as
    attention sees them (turned, if positions are rotary). `sites` holds what was asked for besides. `asked` is the
    column whose next token is predicted: the last, except in an encoder.
    """

    frame: Grid
    asked: Int[Tensor, " n"]
    resid_pre: list[Float[Tensor, "n T d_model"]]
    keys: list[Float[Tensor, "n T kv d_head"]]
    values: list[Float[Tensor, "n T kv d_head"]]
    sites: dict[str, list[Float[Tensor, "n T ..."]]]

    def __len__(self) -> int:
        return len(self.asked)

    @cached_property
    def answer_state(self) -> Float[Tensor, "n d_model"]:
        """After all layers at the asked column."""
        return self.resid_pre[-1][torch.arange(len(self), device=self.asked.device), self.asked]

    def halves(self) -> tuple[RecordedRun, RecordedRun]:
        """The first and the last n/2 rows as runs of their own: two runs are faster made as one."""
        n, tokens = len(self) // 2, self.frame.mask.numel() // 2
        return self._cut(slice(n), slice(tokens)), self._cut(slice(n, None), slice(tokens, None))

    def _cut(self, rows: slice, slots: slice) -> RecordedRun:
        """Some rows, which have these places in a flat list of all tokens."""
        resid_pre, keys, values = ([x[rows] for x in held] for held in (self.resid_pre, self.keys, self.values))
        visible = {kind: seen[rows] for kind, seen in self.frame.visible.items()}
        rotary = {kind: tuple(p[slots] for p in pair) for kind, pair in self.frame.rotary.items()}
        sites = {site: [x[rows] for x in by_layer] for site, by_layer in self.sites.items()}
        grid = Grid(self.frame.mask[rows], visible, rotary)
        return RecordedRun(grid, self.asked[rows], resid_pre, keys, values, sites)

    def site(self, name: str) -> list[Tensor]:
        """A site's activations by layer. KeyError when the run was not asked to keep it."""
        if name == "resid_pre":
            return self.resid_pre
        if name in ("k", "v"):
            return self.keys if name == "k" else self.values
        return self.sites[name]


@torch.inference_mode()
def run(
    stack: Stack,
    tokens: Int[Tensor, "n T"],
    mask: Bool[Tensor, "n T"] | None = None,
    *,
    noise: Float[Tensor, "n T d"] | None = None,
    asked: Int[Tensor, " n"] | None = None,
    sites: Sequence[str] = (),
    report: ShareDone | None = None,
) -> RecordedRun:
    """Every row's forward pass, with resid_pre, keys, values and `sites` kept.

    Prompts of several lengths are padded on the left. Noise is added to the word embeddings (Meng et al. 2022).
    `report` is told of every layer's share of the work.
    """
    mask = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask
    n, width = tokens.shape
    asked = torch.full((n,), width - 1, device=tokens.device) if asked is None else asked
    positions = (mask.long().cumsum(dim=1) - 1).clamp(min=0)
    hidden = stack.embed(tokens, positions, noise)
    turns = {kind: tuple(p.flatten(0, 1) for p in pair) for kind, pair in stack.rotary(hidden, positions).items()}
    made = RecordedRun(Grid(mask, stack.visible(mask), turns), asked, [hidden], [], [], {site: [] for site in sites})
    with stack.packed():
        for index in range(stack.n_layers):
            parts = [_record(stack, index, made, rows) for rows in torch.arange(n, device=tokens.device).split(
                max(1, TOKENS // width))]  # fmt: skip
            merged = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
            made.resid_pre.append(merged["resid_post"])
            made.keys.append(merged["k"])
            made.values.append(merged["v"])
            for site in sites:
                made.sites[site].append(merged[site])
            if report is not None:
                report(1 / stack.n_layers)
    return made


def _record(stack: Stack, index: int, made: RecordedRun, rows: Int[Tensor, " r"]) -> dict[str, Tensor]:
    """One layer of some rows: its output and what passed by on the way, each [r, T, ...]."""
    kept: dict[str, Tensor] = {}
    width, kind = made.frame.width, stack.kinds[index]
    visible = made.frame.visible[kind][rows]

    def attend(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        qs, ks, vs = (part.unflatten(0, (len(rows), width)) for part in (q, k, v))
        z = attention(qs, ks, vs, visible, scale, stack.score_cap).flatten(0, 1)
        kept.update(zip(("q", "k", "v", "z"), (q, k, v, z), strict=True))
        return z

    slots = (rows[:, None] * width + torch.arange(width, device=rows.device)).flatten()
    keep = {site: lambda x, site=site: kept.update({site: x}) for site in made.sites if site not in ("q", "z")}
    out = stack.layer(index, made.resid_pre[index][rows].flatten(0, 1), made.frame.turn(kind, slots), attend, keep)
    wanted = {"k", "v", *made.sites}
    recorded = {name: tensor for name, tensor in kept.items() if name in wanted} | {"resid_post": out}
    return {name: tensor.unflatten(0, (len(rows), width)) for name, tensor in recorded.items()}


def attention(
    q: Float[Tensor, "c q head d_head"],
    k: Float[Tensor, "c T kv d_head"],
    v: Float[Tensor, "c T kv d_head"],
    visible: Bool[Tensor, "#c q T"],
    scale: float,
    cap: float | None,
) -> Float[Tensor, "c q head d_head"]:
    """Softmax attention; the query heads of one key head are stacked as queries of it, so nothing is ungrouped.

    torch's own does not cap scores.
    """
    groups = q.shape[2] // k.shape[2]
    stacked = q.unflatten(2, (-1, groups)).permute(0, 2, 3, 1, 4).flatten(2, 3)  # c kv (group q) d_head
    seen = visible.repeat(1, groups, 1)[:, None]
    if cap is None:
        z = scaled_dot_product_attention(stacked, k.transpose(1, 2), v.transpose(1, 2), seen, scale=scale)
    else:
        scores = capped(scale * (stacked @ k.permute(0, 2, 3, 1)), cap)
        z = scores.masked_fill(~seen, -torch.inf).softmax(-1) @ v.transpose(1, 2)
    return z.unflatten(2, (groups, -1)).permute(0, 3, 1, 2, 4).flatten(2, 3)
