"""How each paper trains: what is fixed by the paper stands here, what depends on the budget comes from params.yaml.

* standard    Bricken et al. 2023: squared error plus L1, decoder rows of norm 1 with gradients along them taken out,
              pre-bias started at the geometric median, dead features resampled from badly reconstructed inputs.
* topk        Gao et al. 2024: k largest, no L1, encoder started as the decoder's transpose, auxiliary loss that lets
              dead features explain the error, learning rate falling with the square root of the number of features.
* batch_topk  Bussmann et al. 2024: the k n largest of a batch of n; afterwards a fixed threshold. Rest as topk.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from replications.dictionaries.sae import KINDS, Kind
from replications.errors import Refusal

AUX_COEFFICIENT = 1 / 32  # Gao et al. 2024, appendix A.2
RESAMPLED_NORM = 0.2  # of the mean encoder norm of the living (Bricken et al. 2023, appendix)
THRESHOLD_RATE = 0.01  # of the running mean of the smallest activation kept
GAO_LR, GAO_H = 2e-4, 2**14  # Gao et al. 2024, section A.3: 2e-4 / sqrt(n / 2^14)
BRICKEN_LR = 1e-3
ADAM = {"standard": {"betas": (0.9, 0.999), "eps": 1e-8}, "topk": {"betas": (0.9, 0.999), "eps": 6.25e-10}}


@dataclass(frozen=True)
class BankRecipe:
    """One bank's training: `seeds` and `l1` have an entry per member, the rest is common to them.

    `steps` is the whole length; the rate rises over the first `warmup` steps and falls to 0 over the last fifth
    (SAEBench). A feature is dead that has not fired for `dead_after` tokens. `resample_at` counts steps.
    """

    kind: Kind
    h: int
    steps: int
    seeds: tuple[int, ...]
    k: int = 32
    l1: tuple[float, ...] = ()
    lr: float | None = None
    warmup: int = 0
    dead_after: int = 10_000_000
    resample_at: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise Refusal(f"{self.kind!r} is no kind of dictionary; the kinds are {', '.join(KINDS)}")
        if self.kind == "standard" and len(self.l1) != len(self.seeds):
            raise ValueError("a standard bank needs one l1 coefficient per seed")
        if self.kind != "standard" and not 0 < self.k <= self.h:
            raise Refusal(f"k is {self.k}; a dictionary of {self.h} features can keep 1 to {self.h} of them")

    @property
    def peak_lr(self) -> float:
        """The paper's rate, unless one is given."""
        if self.lr is not None:
            return self.lr
        return BRICKEN_LR if self.kind == "standard" else GAO_LR * (GAO_H / self.h) ** 0.5

    def lr_at(self, step: int) -> float:
        """Rate of a step, counted from 0."""
        rise = min(1.0, (step + 1) / max(1, self.warmup))
        fall = min(1.0, (self.steps - step) / max(1, self.steps / 5))
        return self.peak_lr * rise * max(0.0, fall)

    @property
    def adam(self) -> dict:
        """Adam's moments and epsilon."""
        return ADAM["standard" if self.kind == "standard" else "topk"]
