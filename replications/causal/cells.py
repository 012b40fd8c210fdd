"""Cells of a patching map as a table: where each one takes its value from the source run.

A cell is one patched copy of one row of the *base* run: its `site`, in the layers `start`..`stop - 1`, at `column`
(and of one `head`), is overwritten with what the *source* run has there. Corrupted base and clean source is denoising
(restoration); clean base and corrupted source is noising. Nothing else distinguishes the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Int
from torch import Tensor

SITES = ("resid_pre", "resid_mid", "attn_out", "mlp_out", "z")
ALL = -1  # as a head: all of them


@dataclass(frozen=True)
class Cells:
    """C cells. `site` indexes SITES; `source` is the row of the source run, `row` that of the base run."""

    site: Int[Tensor, " C"]
    start: Int[Tensor, " C"]
    stop: Int[Tensor, " C"]
    column: Int[Tensor, " C"]
    head: Int[Tensor, " C"]
    row: Int[Tensor, " C"]
    source: Int[Tensor, " C"]

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, index: Int[Tensor, " k"] | Bool[Tensor, " C"]) -> Cells:
        return Cells(*(getattr(self, field.name)[index] for field in fields(self)))

    def __add__(self, other: Cells) -> Cells:
        """Both, to share one pass over the layers."""
        return Cells(*(torch.cat([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)))

    @property
    def names(self) -> list[str]:
        """Sites that occur."""
        return [SITES[code] for code in self.site.unique().tolist()]


def grid(
    site: str,
    layers: Sequence[tuple[int, int]],
    columns: Int[Tensor, " k"],
    rows: Int[Tensor, " n"],
    *,
    heads: Sequence[int] = (ALL,),
    sources: Int[Tensor, " n"] | None = None,
) -> Cells:
    """Every combination, ordered layer, column, head, row: reshape results to [layers, columns, heads, rows].

    `layers` are half-open ranges: `single` or `windows`. `resid_post` of a layer is `resid_pre` of the next.
    `sources` are the rows of the source run that belong to `rows`; the same numbers by default.
    """
    device, shift = rows.device, int(site == "resid_post")
    ranges = torch.tensor(layers, device=device).reshape(-1, 2) + shift
    shape = (len(ranges), len(columns), len(heads), len(rows))

    def spread(values: Tensor, axis: int) -> Tensor:
        return values.view([-1 if i == axis else 1 for i in range(4)]).expand(shape).flatten()

    code = SITES.index("resid_pre" if shift else site)
    return Cells(
        torch.full((shape[0] * shape[1] * shape[2] * shape[3],), code, device=device),
        spread(ranges[:, 0], 0), spread(ranges[:, 1], 0), spread(columns, 1),
        spread(torch.tensor(list(heads), device=device), 2),
        spread(rows, 3), spread(rows if sources is None else sources, 3),
    )  # fmt: skip


def single(n_layers: int) -> list[tuple[int, int]]:
    """Each layer by itself."""
    return [(layer, layer + 1) for layer in range(n_layers)]


def windows(n_layers: int, width: int = 10, before: int | None = None) -> list[tuple[int, int]]:
    """Around each layer l the window that begins at l - `before`, cut at both ends.

    By default that of Meng et al.'s code, l - width/2 .. l + width/2 - 1; their text has one layer less `before`.
    """
    before = width // 2 if before is None else before
    return [(max(0, layer - before), min(n_layers, layer - before + width)) for layer in range(n_layers)]
