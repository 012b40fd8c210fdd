"""What probes read: the layers of the trained model and of its random twin, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from replications.probing.activations import Activations

SMALLEST = 1e-6  # a dimension that never varies is left where it is


class States:
    """States of pieces at all layers of all sources, [K, pieces, d].

    With `standard_on`, as a decoder's residual stream needs it, each piece has root mean square 1 (its blocks read it
    so, but for a gain), and then each dimension of each layer mean 0 and standard deviation 1 over these pieces. The
    scale of the stream grows a hundredfold along the layers and would decide the mix; and the first piece of a sentence
    can be a hundred times longer than all others, so that without the first step it alone would set the deviation. An
    encoder's states leave a LayerNorm and are read as they are, as published.
    """

    def __init__(self, sources: Sequence[Activations], standard_on: Tensor | None = None, device: str = "cpu"):
        self.sources, self.device = sources, device
        self.mean = self.scale = None
        if standard_on is not None:
            sample = _unit(self(standard_on))
            deviation = sample.std(dim=1, keepdim=True)
            self.mean, self.scale = sample.mean(dim=1, keepdim=True), deviation.where(deviation >= SMALLEST, 1)

    def __call__(self, rows: Tensor) -> Tensor:
        """[K, rows, d] float32, on the device."""
        layers = [source.n_layers for source in self.sources]
        found = torch.empty(sum(layers), len(rows), self.sources[0].width)
        for source, part in zip(self.sources, found.split(layers), strict=True):
            source.at(rows, out=part)
        found = found.to(self.device)
        return found if self.mean is None or self.scale is None else _unit(found).sub_(self.mean).div_(self.scale)


def _unit(states: Tensor) -> Tensor:
    """Each piece over its root mean square, in place."""
    return states.div_(states.square().mean(dim=-1, keepdim=True).sqrt_().clamp_(min=SMALLEST))
