"""The toy models of superposition: train them all, name what they look like, hold it against theory and controls.

1. Sweeps over sparsity at two sizes; the same with a linear model, which is the control.
2. Five features in two dimensions: the figure by sparsity, and where a pentagon becomes two pairs.
3. Bipyramids in three dimensions; 400 features in 30: dimensions per feature. Untrained weights are the control.
4. Phase diagrams, against what theory predicts.

Nothing is read: inputs are drawn, so the only model is `toy`. Every experiment is a shard: a killed run resumes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from replications.evidence.run import Asked, made_by, write_run
from replications.evidence.shards import Keep, keep
from replications.settings import room_params
from replications.superposition import experiments, phases, quantities, tables
from replications.superposition.training import ToyTrained as Trained
from replications.superposition.training import untrained

ROOM, MODEL, LANGUAGE = "superposition", "toy", "en"


def run(*, model: str, language: str, device: str, profile: str, out: Path) -> dict[str, Any]:
    """Write metrics.json, provenance.json and the tables into `out`; returns the metrics."""
    asked = Asked(ROOM, model, language, device, room_params(ROOM, profile), out)
    asked.check_only(MODEL, LANGUAGE, "trains toy models on drawn inputs")
    with keep(asked.identity()) as kept:
        trained = train_all(asked.params, kept, device)
        tables = frames(trained, asked.params)
        return write_run(out, trees(trained, asked.params), tables, made_by(asked) | {"models": count(trained)})


def train_all(params: Mapping[str, Any], kept: Keep, device: str) -> dict[str, Trained]:
    """All models by experiment; names with a slash are of one family."""
    makers = experiments.makers(params, device)
    made = kept.each(makers, "toy models")
    kept.complete()
    trained: dict[str, Trained] = {}
    for name, found in zip(makers, made, strict=True):
        models = Trained(**found)
        trained |= experiments.families(models) if name == experiments.PLANE else {name: models}
    return trained


def trees(trained: Mapping[str, Trained], params: Mapping[str, Any]) -> dict[str, Any]:
    """`measured`, and `control`: linear models for the sweeps, untrained weights for geometry and plateaus."""
    draws = {"resamples": params["resamples"], "seed": params["seed"]}
    measured: dict[str, Any] = quantities.plane(trained["sparsity"], trained["uneven"], draws)
    control: dict[str, Any] = {}
    for name, (_, m, _) in experiments.SWEEPS.items():
        measured[name] = quantities.sweep(trained[f"{name}/relu"], m, draws)
        control[name] = quantities.sweep(trained[f"{name}/linear"], m, draws)
    measured["bipyramids"] = {name: quantities.bipyramid(name, trained[f"bipyramid/{name}"])
                              for name in experiments.BIPYRAMIDS}  # fmt: skip
    measured["plateaus"] = quantities.plateaus(trained["plateaus"].W, trained["plateaus"].b, draws)
    measured["phases"] = {shape: quantities.phase_diagram(trained[f"phases/{shape}"], shape, params["phase_cells"])
                          for shape in phases.SHAPES}  # fmt: skip
    settings, seeds, n, m = trained["plateaus"].W.shape
    raw = untrained(settings, seeds, n, m, seed=params["seed"])
    control["plateaus"] = quantities.plateaus(raw, None, draws)
    plain = quantities.figures(untrained(1, params["restarts"], 5, 2, seed=params["seed"])[0])
    control["geometry"] = dict.fromkeys((*experiments.GEOMETRY, "uniform"), plain)
    return {"measured": measured, "control": control}


def count(trained: Mapping[str, Trained]) -> int:
    """How many models were trained; those of the plane are two families of one run."""
    return sum(models.loss.numel() for models in trained.values())


def frames(trained: Mapping[str, Trained], params: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The tidy tables by name of their CSV."""
    densities = experiments.plateau_densities(params)
    made = {
        "sweeps": tables.sweeps(trained),
        "geometry": tables.plane(trained),
        "plateaus": tables.plateaus(trained["plateaus"], densities),
        "phases": tables.phase_cells(trained, params["phase_cells"]),
        "sizes": tables.sizes(),
        "vectors": tables.vectors(trained["sparsity"]),
        "dimensions": tables.dimensions(trained["plateaus"], densities),
    }
    return {name: pd.DataFrame(rows) for name, rows in made.items()}
