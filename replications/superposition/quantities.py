"""Trained models -> the tree of Estimates. Intervals are over seeds (restarts), all else about a model is exact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from replications.evidence import stats
from replications.evidence.stats import Array
from replications.superposition import experiments, geometry, phases
from replications.superposition.training import ToyTrained

LINES = {"tetrahedron": 3 / 4, "triangle": 2 / 3, "digon": 1 / 2, "pentagon": 2 / 5, "square_antiprism": 3 / 8}
BESIDE = 0.0125  # half the distance of the two nearest lines; what lies up to three times as far is beside a line
STEADY, DENSE = 1.1, 0.95  # ratio within which D* counts as one value; above DENSE there is no superposition yet
FACES = {"triangular": (1 / 2, 1 / 2, 2 / 3, 2 / 3, 2 / 3), "pentagonal": (2 / 5,) * 5 + (1 / 2,) * 2}
NEAR = 0.03  # of every D_i to the figure's, for a model to count as that figure


def key(density: float) -> str:
    """A density as one part of a path: 0.03 is 0_03."""
    return f"{density:g}".replace(".", "_")


def sweep(trained: ToyTrained, m: int, draws: Mapping[str, int]) -> dict[str, Any]:
    """By density: features represented (mean over seeds), how many more than dimensions, and the loss."""
    counts = geometry.represented(trained.W).sum(-1).double().numpy()
    weights = stats.resample_weights(counts.shape[1], **draws)
    return {
        key(density): {
            "represented": stats.mean(count, weights),
            "excess": stats.mean(count - m, weights),
            "loss": stats.mean(loss, weights),
        }
        for density, count, loss in zip(experiments.DENSITIES, counts, trained.loss.double().numpy(), strict=True)
    }


def figures(W: Tensor, best: Tensor | None = None) -> dict[str, Any]:
    """Shares of the figures among W [restarts, n, 2], and the figure of `best` [n, 2]."""
    names = [geometry.figure(each) for each in W]
    tree: dict[str, Any] = {
        "share": {label: stats.share([name == label for name in names]) for label in geometry.LABELS}
    }
    if best is not None:
        tree["best"] = stats.leaf(geometry.figure(best), n=len(W))
    return tree


def plane(sparsity: ToyTrained, uneven: ToyTrained, draws: Mapping[str, int]) -> dict[str, Any]:
    """`geometry`: figures by sparsity and of equally important features; `digons`: where the pentagon gives way."""
    tree = {name: figures(W, best) for name, W, best in
            zip(experiments.GEOMETRY, sparsity.W, sparsity.best(), strict=True)}  # fmt: skip
    tree["uniform"] = figures(uneven.W[0], uneven.best()[0])
    return {"geometry": tree, "digons": {"ratio": collapse(uneven, draws)}}


def collapse(uneven: ToyTrained, draws: Mapping[str, int]) -> dict[str, Any]:
    """First of RATIOS from which on the best model is two digons; restarts are resampled. No value if it never is."""
    digons = np.array([[geometry.figure(W) == "antipodal_pairs" for W in row] for row in uneven.W])
    loss = uneven.loss.double().numpy()
    held = stats.resample_weights(loss.shape[1], **draws) > 0  # restarts of each resample [1 + resamples, restarts]
    best = np.where(held[:, None], loss, np.inf).argmin(-1)  # [1 + resamples, ratios]
    found = np.take_along_axis(digons[None], best[..., None], -1)[..., 0]
    lasting = np.logical_and.accumulate(found[:, ::-1], axis=1)[:, ::-1]
    if not lasting[0].any():
        return stats.leaf(None, n=loss.shape[1])
    first = np.array(experiments.RATIOS)[lasting.argmax(1)]
    return stats.interval(first[lasting.any(1)], loss.shape[1])


def bipyramid(name: str, trained: ToyTrained) -> dict[str, Any]:
    """How far dimensionalities are from the figure's: the best model's, those of a bipyramid made by hand.

    `share` is that of restarts which are near it.
    """
    wanted = torch.tensor(sorted(FACES[name]))
    off = _deviation(trained.W[0], wanted)
    return {
        "deviation": stats.leaf(off[trained.loss[0].argmin()].item(), n=len(off)),
        "share": stats.share((off < NEAR).tolist()),
        "by_hand": stats.leaf(_deviation(geometry.bipyramid(len(wanted) - 2), wanted).item(), n=len(wanted)),
    }


def _deviation(W: Tensor, wanted: Tensor) -> Tensor:
    """Largest difference [...] of the sorted dimensionalities of W [..., n, m] from the wanted ones [n]."""
    return (geometry.dimensionality(W).sort(-1).values - wanted).abs().amax(-1)


def plateaus(W: Tensor, b: Tensor | None, draws: Mapping[str, int]) -> dict[str, Any]:
    """Of W [densities, seeds, n, m]: D*, features on and beside the lines, vulnerability; with b, the lengths."""
    dstar = geometry.dimensions_per_feature(W).double().numpy()
    tree: dict[str, Any] = {"lines": lines(geometry.dimensionality(W).flatten(0, 1), draws)}
    weights = stats.resample_weights(W.shape[1], **draws)
    tree["dstar"] = {"dense": stats.mean(dstar[0], weights), "sparse": stats.mean(dstar[-1], weights)}
    below = dstar.mean(1)[dstar.mean(1) < DENSE]
    if len(below):
        tree["dstar"]["sticky"] = stats.leaf(sticky(below), n=len(below))
    if b is not None:
        tree["adversarial"] = {"ratio": _vulnerability(W, weights)}
        tree["norm"] = lengths(W, b)
    return tree


def sticky(values: Array) -> float:
    """Mean of the most values that lie within a ratio of STEADY, the largest such: where D* stays as sparsity grows.

    A ratio, since D* falls by orders of magnitude: within a fixed width all small values would count as one.
    """
    ordered = np.sort(values)[::-1]
    near = [ordered[(ordered <= top) & (ordered >= top / STEADY)] for top in ordered]
    return float(max(near, key=len).mean())


def lines(dimensionality: Tensor, draws: Mapping[str, int]) -> dict[str, Any]:
    """By line: how many times more features lie on it than beside it, per width; models [k, n] are resampled."""
    weights = stats.resample_weights(len(dimensionality), **draws)
    tree = {}
    for name, value in LINES.items():
        off = (dimensionality - value).abs()
        on = (off < BESIDE).sum(-1).double().numpy()
        beside = ((off >= BESIDE) & (off < 3 * BESIDE)).sum(-1).double().numpy() / 2
        tree[name] = {"on": stats.leaf(int(on.sum()), n=len(on))}
        tree[name]["enrichment"] = _ratio(on, beside, weights)
    return tree


def _ratio(on: Array, beside: Array, weights: Array) -> dict[str, Any]:
    """Estimate of mean(on) / mean(beside); without a value where nothing lies beside."""
    if not beside.sum():
        return stats.leaf(None, n=len(on))
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = stats.ratio_of_means(on, beside, weights)
    return stats.interval(draws[np.isfinite(draws)], len(on))


def lengths(W: Tensor, b: Tensor) -> dict[str, Any]:
    """Medians over represented features of what the paper gives for their length: 1 / (1 - b), and of its root."""
    kept = geometry.represented(W)
    length, room = W.norm(dim=-1)[kept], (1 - b)[kept]
    n = int(kept.sum())
    return {
        "product": stats.leaf((length * room).median().item(), n=n),  # 1 if ||W_i|| = 1 / (1 - b_i)
        "squared": stats.leaf((length.square() * room).median().item(), n=n),  # 1 if ||W_i||^2 is
        "squared_over": stats.leaf((length.square() / room).median().item(), n=n),  # 1 if ||W_i||^2 = 1 - b_i
    }


def phase_diagram(trained: ToyTrained, shape: str, cells: int) -> dict[str, Any]:
    """Share of cells in which the observed phase is the predicted one, and the phases of four telling cells."""
    density, importance = phases.grid(phases.SHAPES[shape][0], cells)
    seen = phases.observed(*phases.averages(trained))
    agree = [a == b for a, b in zip(seen, phases.predicted(density, importance), strict=True)]
    middle = cells // 2
    corners = {"dense_unimportant": 0, "dense_important": cells - 1,
               "sparse_equal": (cells - 1) * cells + middle}  # fmt: skip
    return {"agreement": stats.share(agree)} | {name: stats.leaf(seen[at]) for name, at in corners.items()}


def _vulnerability(W: Tensor, weights: Array) -> dict[str, Any]:
    """Largest vulnerability over the densities, in units of that at density 1."""
    found = geometry.vulnerability(W).double().numpy()  # [densities, seeds]
    draws = weights @ found.T
    return stats.interval(draws.max(1) / draws[:, 0], W.shape[1])
