"""Several dictionaries of one kind and size, trained on the same inputs as one batched program, gradients by hand.

Members differ in their seed, and standard ones in their L1 coefficient. Inputs are normalised (`stream.scale_of`), so
that a coefficient means the same at every hook point. Nothing here draws from global random state.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from replications.dictionaries import codes, recipes
from replications.dictionaries.codes import Codes
from replications.dictionaries.recipes import BankRecipe
from replications.dictionaries.sae import TENSORS, Dictionary
from replications.dictionaries.seeds import generator

MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class Bank:
    """m dictionaries. `tensors` are the weights, stacked, W_enc [m, h, d] with one row per feature.

    `since_fired` [m, h] counts the tokens since a feature fired.
    """

    def __init__(self, recipe: BankRecipe, start: Float[Tensor, " d"]) -> None:
        """`start` is where the pre-bias begins: the geometric median of some inputs."""
        self.recipe, self.step_count, self.tokens = recipe, 0, 0
        rows = torch.stack([_directions(recipe.h, len(start), seed) for seed in recipe.seeds]).to(start.device)
        m = len(recipe.seeds)
        self.tensors = {
            "W_enc": rows.clone(), "b_enc": rows.new_zeros(m, recipe.h),
            "W_dec": rows, "b_dec": start.expand(m, -1).clone(),
        }  # fmt: skip
        self.gradients = {name: torch.zeros_like(tensor) for name, tensor in self.tensors.items()}
        for name, tensor in self.tensors.items():
            tensor.grad = self.gradients[name]
        self.threshold = rows.new_zeros(m)
        self.since_fired = torch.zeros(m, recipe.h, dtype=torch.int64, device=rows.device)
        self.l1 = torch.tensor(recipe.l1 or (0.0,) * m, device=rows.device)
        self.optimiser = torch.optim.Adam(self.tensors.values(), lr=recipe.peak_lr, **recipe.adam, fused=True)

    @torch.no_grad()
    def step(self, x: Float[Tensor, "n d"]) -> Float[Tensor, " m"]:
        """One optimiser step on a batch; the loss of each member before it."""
        pre = self.pre_activations(x)
        extra = self._dead_codes(pre, x.shape[1])
        f = codes.active(pre, self._least(pre))
        loss, error = self._differentiate(f, x, x.expand(len(pre), -1, -1) - self.tensors["b_dec"][:, None], self.l1)
        if extra is not None:
            loss += self._explain(extra, x, error)
        self._update()
        self.since_fired = (self.since_fired + len(x)).masked_fill(f.fired, 0)
        self.tokens += len(x)
        return loss

    def pre_activations(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "m n h"]:
        """(x - b_dec) W_enc^T + b_enc, with b_dec moved to the right, where it costs no product of n rows."""
        t = self.tensors
        bias = t["b_enc"] - torch.bmm(t["W_enc"], t["b_dec"][..., None])[..., 0]
        return torch.baddbmm(bias[:, None], x.expand(len(bias), -1, -1), t["W_enc"].mT)

    def _least(self, pre: Float[Tensor, "m n h"]) -> Float[Tensor, "m n"]:
        """What a pre-activation has to reach. Moves the running threshold of batch_topk."""
        if self.recipe.kind == "standard":
            return pre.new_zeros(pre.shape[:2])
        if self.recipe.kind == "topk":
            return pre.topk(self.recipe.k, sorted=False).values.amin(dim=-1)
        smallest = pre.flatten(1).topk(self.recipe.k * pre.shape[1], sorted=False).values.amin(dim=1).relu()
        self.threshold = torch.lerp(self.threshold, smallest, recipes.THRESHOLD_RATE if self.step_count else 1.0)
        return smallest[:, None].repeat(1, pre.shape[1])

    def _differentiate(
        self, f: Codes, x: Float[Tensor, "n d"], target: Float[Tensor, "m n d"], l1: Float[Tensor, " m"]
    ) -> tuple[Float[Tensor, " m"], Float[Tensor, "m n d"]]:
        """Loss of f as a reconstruction of `target`, whose pre-bias has been taken off, and its error; sets gradients.

        The loss is the mean squared error and l1 times an input's summed features, `x` what f was computed from.
        """
        t, grad, n = self.tensors, self.gradients, len(x)
        error = target - f.decode(t["W_dec"])
        loss = error.square().mean(dim=(1, 2)) + l1 * f.value.sum(dim=(1, 2)) / n
        e = error * (-2 / error[0].numel())
        f.onto(e, out=grad["W_dec"])
        g = f.back(e, t["W_dec"], l1 / n)
        g.onto(x[None], out=grad["W_enc"])
        self._through_bias(g.total())
        grad["b_dec"] += e.sum(dim=1)
        return loss, error

    def _through_bias(self, total: Float[Tensor, "m h"]) -> None:
        """Gradients of what is added to x W_enc^T, given that sum's own."""
        t, grad = self.tensors, self.gradients
        grad["b_enc"] += total
        grad["W_enc"].addcmul_(total[..., None], t["b_dec"][:, None], value=-1)
        grad["b_dec"] -= torch.bmm(total[:, None], t["W_enc"])[:, 0]

    def _dead_codes(self, pre: Float[Tensor, "m n h"], d: int) -> Codes | None:
        """The strongest dead features of each input, d / 2 at most (Gao et al., appendix A.2); None of standard."""
        dead = self.dead
        if self.recipe.kind == "standard" or not dead.any():
            return None
        k = max(1, min(d // 2, int(dead.sum(dim=1).max())))
        own = pre.masked_fill(~dead[:, None], float("-inf"))
        return codes.active(own, own.topk(k, sorted=False).values.amin(dim=-1))

    def _explain(self, own: Codes, x: Float[Tensor, "n d"], left: Float[Tensor, "m n d"]) -> Float[Tensor, " m"]:
        """The auxiliary loss: what dead features fail to explain of the error; its gradients are added."""
        t = self.tensors
        residue = left - own.decode(t["W_dec"])
        weight = recipes.AUX_COEFFICIENT * self.dead.any(dim=1) / left.square().mean(dim=(1, 2)).clamp_min(1e-12)
        e = residue * (weight * (-2 / left[0].numel()))[:, None, None]
        self.gradients["W_dec"] += own.onto(e)
        g = own.back(e, t["W_dec"], torch.zeros_like(weight))
        self.gradients["W_enc"] += g.onto(x[None])
        self._through_bias(g.total())
        return weight * residue.square().mean(dim=(1, 2))

    @property
    def dead(self) -> Bool[Tensor, "m h"]:
        """Features that have not fired for `dead_after` tokens."""
        return self.since_fired >= self.recipe.dead_after

    def _update(self) -> None:
        """Adam, with the decoder's rows kept at norm 1: their gradients lose what would only stretch them."""
        rows, grad = self.tensors["W_dec"], self.gradients["W_dec"]
        grad.addcmul_(torch.linalg.vecdot(grad, rows)[..., None], rows, value=-1)
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.lr_at(self.step_count)
        self.optimiser.step()
        normalize(rows, dim=-1, out=rows)
        for name in ("b_enc", "b_dec"):  # the others' gradients are written, not added to
            self.gradients[name].zero_()
        self.step_count += 1

    @torch.no_grad()
    def resample(self, x: Float[Tensor, "n d"]) -> list[int]:
        """Start the dead features of each member anew, at inputs drawn by their squared loss; how many.

        Bricken et al. 2023, appendix "Neuron resampling". The new direction is the input less the pre-bias.
        """
        f = codes.active(self.pre_activations(x), x.new_zeros(len(self.since_fired), len(x)))
        losses = (x - f.decode(self.tensors["W_dec"]) - self.tensors["b_dec"][:, None]).square().mean(dim=-1)
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
        norm = recipes.RESAMPLED_NORM * t["W_enc"][member, alive].norm(dim=-1).mean()
        directions = inputs - t["b_dec"][member]
        directions = directions / directions.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        t["W_dec"][member, dead] = directions
        t["W_enc"][member, dead] = norm * directions
        t["b_enc"][member, dead] = 0
        for name in ("exp_avg", "exp_avg_sq"):
            moment = {key: self.optimiser.state[tensor][name] for key, tensor in t.items()}
            moment["W_dec"][member, dead] = 0
            moment["W_enc"][member, dead] = 0
            moment["b_enc"][member, dead] = 0
        self.since_fired[member, dead] = 0

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, by name."""
        held = {"threshold": self.threshold, "since_fired": self.since_fired,
                "counts": torch.tensor([self.step_count, self.tokens])}  # fmt: skip
        for name, tensor in self.tensors.items():
            held[name] = tensor
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
        held = {name: self.tensors[name][member].clone() for name in TENSORS}
        held["W_enc"] = held["W_enc"].T.contiguous()
        kind = self.recipe.kind
        threshold = self.threshold[member].expand(self.recipe.h).clone() if kind == "batch_topk" else None
        k = self.recipe.k if kind == "topk" else None
        info = {"seed": self.recipe.seeds[member], "training": kind, "tokens": self.tokens}
        return Dictionary(kind, **held, k=k, threshold=threshold, info=info)


def _directions(h: int, d: int, seed: int) -> Float[Tensor, "h d"]:
    rows = torch.randn(h, d, generator=generator("weights", seed))
    return rows / rows.norm(dim=-1, keepdim=True)
