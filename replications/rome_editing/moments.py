"""C, the uncentred second moment of the projection's keys over running text (Meng et al. 2022, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from replications import progress
from replications.errors import Refusal
from replications.models.families import projection
from replications.rome_editing.projection import watched
from replications.stimuli.spans import Encoder

WINDOW = 128  # tokens
BATCH = 8  # windows: enough tokens for full speed, few enough for a CPU's caches
HELD_OUT = 0.1  # of each text, its end


class _HighestSeen(Exception):  # noqa: N818  (nothing went wrong)
    """The highest layer that is wanted has been seen; what is above it need not be run."""


@torch.no_grad()
def second_moments(
    hf_model: Any, windows: Int[Tensor, "n T"], layers: Sequence[int]
) -> dict[int, Float[Tensor, "d_mlp d_mlp"]]:
    """E[k kᵀ] of each layer in float32, all in one pass over the windows."""
    sums: dict[int, Tensor] = {}

    def adding(layer: int) -> Any:
        def add(keys: Tensor, values: Tensor) -> None:
            sums[layer] = keys.T @ keys if layer not in sums else sums[layer].addmm_(keys.T, keys)
            if layer == max(layers):
                raise _HighestSeen

        return watched(projection(hf_model, layer), add)

    device = next(hf_model.parameters()).device
    with ExitStack() as hooks:
        for layer in layers:
            hooks.enter_context(adding(layer))
        for part in progress.watched(windows.split(BATCH), "second moments"):
            with suppress(_HighestSeen):
                hf_model.base_model(input_ids=part.to(device), use_cache=False)
    return {layer: total / windows.numel() for layer, total in sums.items()}


def text_windows(
    files: Sequence[Path], encode: Encoder, *, n: int, width: int, seed: int, held_out: bool = False
) -> Int[Tensor, "n width"]:
    """Windows of `width` tokens, BOS included where the model has one, at places of the texts drawn with `seed`.

    The last tenth of each text is held out: windows come from there alone, or from everywhere else. Refuses texts that
    are too short.
    """
    rng = np.random.default_rng([seed, held_out])
    texts = [_part(path.read_text(encoding="utf-8", errors="replace"), held_out) for path in files]
    windows: list[list[int]] = []
    for _ in range(4 * n):
        if len(windows) == n:
            return torch.tensor(windows)
        text = texts[rng.integers(len(texts))]
        start = int(rng.integers(max(1, len(text) - 8 * width)))
        ids = encode(" ".join(text[start : start + 8 * width].split()[1:])).ids  # the first word may be half a word
        if len(ids) >= width:
            windows.append(ids[:width])
    if len(windows) == n:
        return torch.tensor(windows)
    raise Refusal(f"the texts {', '.join(path.name for path in files)} are too short for {n} windows of {width} tokens")


def _part(text: str, held_out: bool) -> str:
    cut = int(len(text) * (1 - HELD_OUT))
    return text[cut:] if held_out else text[:cut]
