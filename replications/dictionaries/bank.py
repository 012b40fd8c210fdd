"""Several dictionaries of one kind and size, trained on the same inputs as one batched tensor program.

Members differ in their seed, and standard ones in their L1 coefficient. Inputs are normalised (`stream.scale_of`), so
that a coefficient means the same at every hook point. Nothing here draws from global random state.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from replications.dictionaries import recipes
from replications.dictionaries.recipes import Recipe
from replications.dictionaries.sae import TENSORS, Dictionary, keep_top
from replications.dictionaries.seeds import generator

MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class Bank:
    """m dictionaries. `tensors` are the weights, stacked; `since_fired` [m, h] counts tokens since a feature fired."""

    def __init__(self, recipe: Recipe, start: Float[Tensor, " d"]) -> None:
        """`start` is where the pre-bias begins: the geometric median of some inputs."""
        self.recipe, self.step_count, self.tokens = recipe, 0, 0
        rows = torch.stack([_directions(recipe.h, len(start), seed) for seed in recipe.seeds]).to(start.device)
        m = len(recipe.seeds)
        self.tensors = {
            "W_enc": rows.mT.contiguous(), "b_enc": rows.new_zeros(m, recipe.h),
            "W_dec": rows, "b_dec": start.expand(m, -1).clone(),
        }  # fmt: skip
        self.threshold = rows.new_zeros(m)
        self.since_fired = torch.zeros(m, recipe.h, dtype=torch.int64, device=rows.device)
        self.l1 = torch.tensor(recipe.l1 or (0.0,) * m, device=rows.device)
        for tensor in self.tensors.values():
            tensor.requires_grad_()
        self.optimiser = torch.optim.Adam(self.tensors.values(), lr=recipe.peak_lr, **recipe.adam, fused=True)

    def step(self, x: Float[Tensor, "n d"]) -> Float[Tensor, " m"]:
        """One optimiser step on a batch; the loss of each member before it."""
        pre = self.pre_activations(x)
        f = self._activate(pre)
        error = x - self._decode(f)
        loss = error.square().mean(dim=(1, 2)) + self._penalty(x, pre, f, error)
        self.optimiser.zero_grad(set_to_none=True)
        loss.sum().backward()
        self._update()
        self._count(f.detach(), len(x))
        return loss.detach()

    def pre_activations(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "m n h"]:
        """(x - b_dec) W_enc + b_enc, with b_dec moved to the right so that its gradient costs no product of n rows."""
        t = self.tensors
        bias = t["b_enc"] - torch.bmm(t["b_dec"][:, None], t["W_enc"])[:, 0]
        return torch.baddbmm(bias[:, None], x.expand(len(bias), -1, -1), t["W_enc"])

    def _decode(self, f: Float[Tensor, "m n h"]) -> Float[Tensor, "m n d"]:
        return torch.baddbmm(self.tensors["b_dec"][:, None], f, self.tensors["W_dec"])

    def _activate(self, pre: Float[Tensor, "m n h"]) -> Float[Tensor, "m n h"]:
        if self.recipe.kind == "standard":
            return pre.relu()
        if self.recipe.kind == "topk":
            return keep_top(pre, self.recipe.k)
        kept = pre.detach().relu().flatten(1).topk(self.recipe.k * pre.shape[1], sorted=False).values
        smallest = kept.amin(dim=1)
        rate = recipes.THRESHOLD_RATE if self.step_count else 1.0
        self.threshold = torch.lerp(self.threshold, smallest, rate)
        return pre.relu() * (pre >= smallest[:, None, None])

    def _penalty(
        self, x: Float[Tensor, "n d"], pre: Float[Tensor, "m n h"], f: Float[Tensor, "m n h"],
        error: Float[Tensor, "m n d"],
    ) -> Float[Tensor, " m"] | float:  # fmt: skip
        """L1 for standard; else what dead features fail to explain of the error (Gao et al., appendix A.2)."""
        if self.recipe.kind == "standard":
            return self.l1 * f.sum(dim=-1).mean(dim=-1)
        dead = self.dead
        if not dead.any():
            return 0.0
        k = max(1, min(x.shape[1] // 2, int(dead.sum(dim=1).max())))
        own = keep_top(pre.masked_fill(~dead[:, None], float("-inf")), k)
        left = error.detach()
        residue = (left - torch.bmm(own, self.tensors["W_dec"])).square().mean(dim=(1, 2))
        scale = left.square().mean(dim=(1, 2)).clamp_min(1e-12)
        return recipes.AUX_COEFFICIENT * dead.any(dim=1) * residue / scale

    @property
    def dead(self) -> Bool[Tensor, "m h"]:
        """Features that have not fired for `dead_after` tokens."""
        return self.since_fired >= self.recipe.dead_after

    @torch.no_grad()
    def _update(self) -> None:
        """Adam, with the decoder's rows kept at norm 1: their gradients lose what would only stretch them."""
        rows = self.tensors["W_dec"]
        rows.grad -= (rows.grad * rows).sum(dim=-1, keepdim=True) * rows
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.lr_at(self.step_count)
        self.optimiser.step()
        rows /= rows.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        self.step_count += 1

    def _count(self, f: Float[Tensor, "m n h"], n: int) -> None:
        fired = (f > 0).any(dim=1)
        self.since_fired = (self.since_fired + n).masked_fill(fired, 0)
        self.tokens += n

    @torch.no_grad()
    def resample(self, x: Float[Tensor, "n d"]) -> list[int]:
        """Start the dead features of each member anew, at inputs drawn by their squared loss; how many.

        Bricken et al. 2023, appendix "Neuron resampling". The new direction is the input less the pre-bias.
        """
        losses = (x - self._decode(self._activate(self.pre_activations(x)))).square().mean(dim=-1)
        counts = []
        for member, seed in enumerate(self.recipe.seeds):
            dead = self.dead[member].nonzero()[:, 0]
            counts.append(len(dead))
            if 0 < len(dead) < self.recipe.h:
                chance = losses[member].square().cpu()
                drawn = torch.multinomial(chance, len(dead), replacement=len(dead) > len(x),
                                          generator=generator("resample", seed, self.step_count))  # fmt: skip
                self._restart(member, dead, x[drawn.to(x.device)])
        return counts

    def _restart(self, member: int, dead: Int[Tensor, " j"], inputs: Float[Tensor, "j d"]) -> None:
        t = self.tensors
        alive = ~self.dead[member]
        norm = recipes.RESAMPLED_NORM * t["W_enc"][member][:, alive].norm(dim=0).mean()
        directions = inputs - t["b_dec"][member]
        directions = directions / directions.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        t["W_dec"][member, dead] = directions
        t["W_enc"][member, :, dead] = norm * directions.T
        t["b_enc"][member, dead] = 0
        for name in ("exp_avg", "exp_avg_sq"):
            moment = {key: self.optimiser.state[tensor][name] for key, tensor in t.items()}
            moment["W_dec"][member, dead] = 0
            moment["W_enc"][member, :, dead] = 0
            moment["b_enc"][member, dead] = 0
        self.since_fired[member, dead] = 0

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, by name."""
        held = {"threshold": self.threshold, "since_fired": self.since_fired,
                "counts": torch.tensor([self.step_count, self.tokens])}  # fmt: skip
        for name, tensor in self.tensors.items():
            held[name] = tensor.detach()
            held |= {f"{name}.{part}": value for part, value in self.optimiser.state[tensor].items()}
        return held

    @torch.no_grad()
    def restore(self, held: Mapping[str, Tensor]) -> None:
        """Go on from `state()`: the next step has the same bits as it would have had."""
        device = self.threshold.device
        self.threshold, self.since_fired = held["threshold"].to(device), held["since_fired"].to(device)
        self.step_count, self.tokens = held["counts"].tolist()
        for name, tensor in self.tensors.items():
            tensor.copy_(held[name])
            if self.step_count:
                moments = {part: held[f"{name}.{part}"].to(tensor.device) for part in MOMENTS}
                self.optimiser.state[tensor] = moments

    def dictionary(self, member: int) -> Dictionary:
        """One member as a dictionary of normalised inputs."""
        held = {name: self.tensors[name][member].detach().clone() for name in TENSORS}
        kind = self.recipe.kind
        threshold = self.threshold[member].expand(self.recipe.h).clone() if kind == "batch_topk" else None
        k = self.recipe.k if kind == "topk" else None
        info = {"seed": self.recipe.seeds[member], "training": kind, "tokens": self.tokens}
        return Dictionary(kind, **held, k=k, threshold=threshold, info=info)


def _directions(h: int, d: int, seed: int) -> Float[Tensor, "h d"]:
    rows = torch.randn(h, d, generator=generator("weights", seed))
    return rows / rows.norm(dim=-1, keepdim=True)
