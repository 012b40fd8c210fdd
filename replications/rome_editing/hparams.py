"""The paper's configuration: which layer is edited and how the new value is found.

Meng et al. 2022 as released (hparams/ROME); where the printed text differs, the room's README says so.
"""

from __future__ import annotations

from dataclasses import dataclass

LAYERS = {"gpt2-medium": 8, "gpt2-large": 12, "gpt2-xl": 17, "gpt-j-6b": 5}  # counted from 0
CLAMP = {"gpt2-medium": 3.0}  # 4 in the others
DEPTH = 17 / 48  # GPT-2 XL's, the paper's main model
HASE = (1, 5, 6, 9, 13, 17, 21, 25, 28)  # layers that Hase et al. edited, counted from 1, of GPT-J's 28

# Adam's step and the weight decay are in the unit of the value, and models differ in it: at the last subject token
# Gemma's is an eighth of GPT-2 XL's in norm. A published log of an edit of GPT-2 XL at layer 17 has |v| = 23.1
# (zjunlp/EasyEdit, issue 640), so 0.5 is 0.87 of the value's root mean square there. Other models get the same
# multiples of their own value.
XL_NORM, XL_WIDTH = 23.128, 1600


@dataclass(frozen=True)
class HParams:
    """`lr`, `steps`: Adam; `stop`: loss at which a fact is done; `clamp`: largest delta in norms of the old value.

    With `relative`, `lr` and `weight_decay` are those of a model whose value has GPT-2 XL's size.
    """

    relative: bool
    clamp: float = 4.0
    steps: int = 20
    lr: float = 0.5
    weight_decay: float = 0.5
    kl: float = 0.0625
    stop: float = 0.05

    def step(self, norm: float, width: int) -> float:
        """Adam's step for a fact whose value has this norm."""
        return self.lr * norm / width**0.5 / (XL_NORM / XL_WIDTH**0.5) if self.relative else self.lr

    def decay(self, norm: float) -> float:
        """What |delta| is multiplied with in the loss of a fact whose value has this norm."""
        return self.weight_decay / (XL_NORM * norm if self.relative else norm**2)


def hparams(model: str) -> HParams:
    """Of a catalogue id: as released for the paper's own models, relative to the value for any other."""
    return HParams(relative=model not in LAYERS, clamp=CLAMP.get(model, 4.0))


def edit_layer(model: str, n_layers: int) -> int:
    """The published layer; for any other model the one at GPT-2 XL's relative depth, 17/48, rounded."""
    return LAYERS.get(model, round(DEPTH * n_layers))


def compared_layers(model: str, n_layers: int, hase: list[int]) -> list[int]:
    """Layers (from 0) at the relative depths of these layers of Hase et al., their 6 replaced by `edit_layer`."""
    spread = {round((layer - 1) / (HASE[-1] - 1) * (n_layers - 1)) for layer in hase if layer != 6}
    return sorted(spread | {edit_layer(model, n_layers)})
