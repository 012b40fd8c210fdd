"""The experiments of the paper as settings for the trainer; each is one shard, so that a killed run resumes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from replications.evidence.shards import Make
from replications.superposition import inputs, phases
from replications.superposition.training import Recipe, ToyTrained, train_exact, train_sampled

SWEEPS = {"small": (20, 5, 0.7), "large": (80, 20, 0.9)}  # features, dimensions, importance of feature i: base^i
DENSITIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
GEOMETRY = {"S0": 1.0, "S50": 0.5, "S70": 0.3, "S80": 0.2, "S90": 0.1, "S95": 0.05}  # by sparsity S in percent
GEOMETRY_BASE = 0.9  # importance in the introduction's figure and the released notebook
UNIFORM = 0.05  # density of the pentagon of the geometry section
RATIOS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0)  # how much sparser one of the five features is
PLANE = "plane"
BIPYRAMIDS = {"triangular": 5, "pentagonal": 7}  # features in three dimensions
PLATEAUS = (400, 30)
SPARSEST = 1 / 20  # of the plateaus, as in the released notebook


def makers(params: Mapping[str, Any], device: str) -> dict[str, Make]:
    """What trains the models of each experiment, by its name; each gives the tensors of a `ToyTrained`."""
    run: dict[str, Any] = {"params": params, "device": device}
    return {
        **{f"{name}/{kind}": partial(sweep, name, linear=kind == "linear", **run)
           for name in SWEEPS for kind in ("relu", "linear")},
        PLANE: partial(plane, **run),
        **{f"bipyramid/{name}": partial(bipyramid, name, **run) for name in BIPYRAMIDS},
        "plateaus": partial(plateaus, **run),
        **{f"phases/{shape}": partial(phase_diagram, shape, **run) for shape in phases.SHAPES},
    }  # fmt: skip


def sweep(name: str, params: Mapping[str, Any], device: str, *, linear: bool) -> dict[str, Tensor]:
    """Models of all DENSITIES with importances that fall geometrically."""
    n, m, base = SWEEPS[name]
    density = torch.tensor(DENSITIES)[:, None].expand(-1, n)
    return _sampled(density, falling(base, density), m, params["sweep_seeds"], params["sweep"], params, device,
                    linear=linear)  # fmt: skip


def plane(params: Mapping[str, Any], device: str) -> dict[str, Tensor]:
    """Five features in two dimensions: by sparsity (GEOMETRY), then equally important with one sparser (RATIOS)."""
    sparsity = torch.tensor([*GEOMETRY.values()])[:, None].expand(-1, 5)
    uneven = torch.full((len(RATIOS), 5), UNIFORM)
    uneven[:, 0] /= torch.tensor(RATIOS)
    importance = torch.cat([falling(GEOMETRY_BASE, sparsity), torch.ones_like(uneven)])
    return _sampled(torch.cat([sparsity, uneven]), importance, 2, params["restarts"], params["plane"], params, device)


def families(both: ToyTrained) -> dict[str, ToyTrained]:
    """The two families of the plane by name."""
    first = len(GEOMETRY)
    return {"sparsity": ToyTrained(both.W[:first], both.b[:first], both.loss[:first]),
            "uneven": ToyTrained(both.W[first:], both.b[first:], both.loss[first:])}  # fmt: skip


def bipyramid(name: str, params: Mapping[str, Any], device: str) -> dict[str, Tensor]:
    """Equally important features in three dimensions, as sparse as the pentagon's."""
    density = torch.full((1, BIPYRAMIDS[name]), UNIFORM)
    return _sampled(density, torch.ones_like(density), 3, params["restarts"], params["plane"], params, device)


def plateau_densities(params: Mapping[str, Any]) -> list[float]:
    """Densities of the plateaus, from 1 to SPARSEST."""
    return inputs.log_spaced(1, SPARSEST, params["plateau_densities"])


def plateaus(params: Mapping[str, Any], device: str) -> dict[str, Tensor]:
    """400 equally important features in 30 dimensions."""
    n, m = PLATEAUS
    density = torch.tensor(plateau_densities(params))[:, None].expand(-1, n)
    return _sampled(density, torch.ones_like(density), m, params["plateau_seeds"], params["plateaus"], params, device)


def phase_diagram(shape: str, params: Mapping[str, Any], device: str) -> dict[str, Tensor]:
    """`phase_models` models in each cell of `phases.grid`."""
    n, m = phases.SHAPES[shape]
    density, importance = phases.grid(n, params["phase_cells"])
    recipe = Recipe(**params["phases"])
    return vars(train_exact(density, importance, m, params["phase_models"], recipe, seed=params["seed"], device=device))


def falling(base: float, like: Tensor) -> Tensor:
    """Importances base^i, shaped as `like` [settings, n]."""
    return (base ** torch.arange(like.shape[1], dtype=torch.float32)).expand(len(like), -1)


def _sampled(
    density: Tensor, importance: Tensor, m: int, seeds: int, recipe: Mapping[str, Any], params: Mapping[str, Any],
    device: str, *, linear: bool = False,
) -> dict[str, Tensor]:  # fmt: skip
    return vars(train_sampled(density, importance, m, seeds, Recipe(**recipe), seed=params["seed"], linear=linear,
                              device=device))  # fmt: skip
