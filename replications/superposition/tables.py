"""The tidy tables of the room: one row per model, per bin of a histogram, per feature, or per cell of a diagram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from replications.superposition import experiments, geometry, phases
from replications.superposition.training import ToyTrained

Row = dict[str, Any]
BINS = 200  # of D_i between 0 and 1


def sweeps(trained: Mapping[str, ToyTrained]) -> list[Row]:
    """Features represented and loss, by size, kind of model, density and seed."""
    return [
        {"sweep": name, "model": kind, **row}
        for name in experiments.SWEEPS
        for kind in ("relu", "linear")
        for row in _models(trained[f"{name}/{kind}"], "density", experiments.DENSITIES)
    ]


def plane(trained: Mapping[str, ToyTrained]) -> list[Row]:
    """The figure of every model with two dimensions: by sparsity, or by how much sparser one feature is."""
    sparsity = _models(trained["sparsity"], "setting", list(experiments.GEOMETRY), named=True)
    uneven = _models(trained["uneven"], "setting", [f"ratio {r:g}" for r in experiments.RATIOS], named=True)
    return sparsity + uneven


def plateaus(trained: ToyTrained, densities: Sequence[float]) -> list[Row]:
    """D* by density and how many features have a D_i in each of BINS bins that is not empty, seeds together."""
    rows = []
    for density, W in zip(densities, trained.W, strict=True):
        dstar = geometry.dimensions_per_feature(W).mean().item()
        counts = torch.histc(geometry.dimensionality(W), BINS, 0, 1).int().tolist()
        rows += [
            {"density": density, "dimensions_per_feature": dstar, "dimensionality": (i + 0.5) / BINS, "features": count}
            for i, count in enumerate(counts)
            if count
        ]
    return rows


def dimensions(trained: ToyTrained, densities: Sequence[float]) -> list[Row]:
    """D* by density and seed."""
    dstar = geometry.dimensions_per_feature(trained.W).tolist()
    return [
        {"density": density, "seed": seed, "dimensions_per_feature": value}
        for density, values in zip(densities, dstar, strict=True)
        for seed, value in enumerate(values)
    ]


def vectors(trained: ToyTrained) -> list[Row]:
    """Features in the plane (x, y) of the best model of each density of GEOMETRY, and the figure that they form."""
    return [
        {"density": density, "figure": geometry.figure(W), "feature": feature, "x": x, "y": y}
        for density, W in zip(experiments.GEOMETRY.values(), trained.best(), strict=True)
        for feature, (x, y) in enumerate(W.tolist())
    ]


def sizes() -> list[Row]:
    """features, dimensions and importance (base^i of feature i) of the experiments in the other tables."""
    even = {"plateaus": experiments.PLATEAUS, **phases.SHAPES}
    whole = experiments.SWEEPS | {name: (*size, 1.0) for name, size in even.items()}
    names = ("features", "dimensions", "importance")
    return [{"experiment": name, **dict(zip(names, size, strict=True))} for name, size in whole.items()]


def phase_cells(trained: Mapping[str, ToyTrained], cells: int) -> list[Row]:
    """Length and interference of the extra feature, the phase they make and the phase predicted, by cell."""
    rows = []
    for shape, (n, _) in phases.SHAPES.items():
        density, importance = phases.grid(n, cells)
        length, shared = phases.averages(trained[f"phases/{shape}"])
        parts = (density[:, 0].tolist(), importance[:, -1].tolist(), length.tolist(), shared.tolist(),
                 phases.observed(length, shared), phases.predicted(density, importance))  # fmt: skip
        names = ("density", "relative_importance", "length", "interference", "observed", "predicted")
        rows += [{"shape": shape, **dict(zip(names, row, strict=True))} for row in zip(*parts, strict=True)]
    return rows


def _models(trained: ToyTrained, column: str, settings: Sequence[Any], *, named: bool = False) -> list[Row]:
    """One row per setting and seed; `named` adds the figure in the plane."""

    def row(W: Tensor, loss: Tensor) -> Row:
        more = {"figure": geometry.figure(W)} if named else {}
        return {"represented": int(geometry.represented(W).sum()), "loss": loss.item(), **more}

    return [
        {column: setting, "seed": seed, **row(trained.W[at, seed], trained.loss[at, seed])}
        for at, setting in enumerate(settings)
        for seed in range(trained.loss.shape[1])
    ]
