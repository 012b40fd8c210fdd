"""From a few tiny models to the evidence: all claims find their quantities, a killed run resumes, twice is the same."""

import drawn
import pytest
from sharded import Kept

from replications.claims.evidence import paths
from replications.claims.ledger import load_claims
from replications.errors import Refusal
from replications.evidence import shards
from replications.evidence.run import Run
from replications.settings import load_settings
from replications.superposition import experiments, figures, phases, quantities, stage

QUICK = {"steps": 20, "lr": 0.02, "batch": 16}
PARAMS = {
    "seed": 0, "sweep": QUICK, "sweep_seeds": 2, "plane": QUICK, "restarts": 3, "plateaus": QUICK,
    "plateau_densities": 4, "plateau_seeds": 2, "phases": {"steps": 20, "lr": 0.02, "nodes": 2}, "phase_cells": 5,
    "phase_models": 3, "resamples": 20,
}  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Folder and tree of a run with few features where the paper has 400."""
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiments, "PLATEAUS", (40, 6))
        patch.setattr(stage, "room_params", lambda room, profile: PARAMS)
        patch.setattr(shards.store, "cache_root", lambda: tmp_path_factory.mktemp("cache"))
        tree = stage.run(model="toy", language="en", device="cpu", profile="default", out=out)
    return out, tree


def test_everything_is_written_and_drawn(small, tmp_path):
    out, tree = small
    shown = ("sweeps", "geometry", "plateaus", "phases")
    assert drawn.files(out) == drawn.evidence(*shown, "sizes", "vectors", "dimensions")
    assert drawn.draw("superposition", out, tmp_path) == drawn.pictures(*shown)
    assert tree.keys() == {"measured", "control"}


def test_figures_and_measurements_know_the_same_names():
    assert tuple(figures.PHASE_COLOURS) == phases.PHASES
    assert figures.LINES == quantities.LINES


def test_the_tables_of_figures_are_of_the_models_that_the_others_count(small):
    tables = Run(small[0]).tables
    best = tables["geometry"].groupby("setting")["loss"].idxmin()
    by_setting = dict(zip(experiments.GEOMETRY, tables["vectors"].groupby("density", sort=False), strict=True))
    for setting, (_, part) in by_setting.items():
        assert set(part["figure"]) == {tables["geometry"].loc[best[setting], "figure"]}
        assert len(part) == 5
    means = tables["dimensions"].groupby("density")["dimensions_per_feature"].mean()
    told = tables["plateaus"].groupby("density")["dimensions_per_feature"].first()
    assert means.to_numpy() == pytest.approx(told.to_numpy(), rel=1e-4)
    assert tables["sizes"]["experiment"].tolist() == ["small", "large", "plateaus", "n2m1", "n3m2"]


def test_every_claim_is_about_something_that_is_measured(small):
    _, tree = small
    known = set(paths(tree["measured"]))
    # of models that are hardly trained, none may lie beside a line or below the dense D*
    known |= {f"plateaus.lines.{name}.enrichment" for name in stage.quantities.LINES} | {"plateaus.dstar.sticky"}
    for claim in load_claims("superposition"):
        assert set(claim.quantities) <= known, claim.id


def test_params_have_what_a_run_reads():
    assert set(load_settings().rooms["superposition"]) == set(PARAMS)


def test_anything_but_the_toy_is_refused(tmp_path):
    with pytest.raises(Refusal, match="model should be toy and language en"):
        stage.run(model="gpt2", language="en", device="cpu", profile="default", out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_killed_run_resumes_with_the_same_models(tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "PLATEAUS", (40, 6))
    calls = []

    def run(limit):
        with shards.keep({"room": "superposition", "model": "toy"}, tmp_path) as kept:

            def counted(name, make):
                def made():
                    if len(calls) == limit:
                        raise KeyboardInterrupt
                    calls.append(name)
                    return make()

                return kept(name, made)

            return stage.train_all(PARAMS, Kept(counted), "cpu")

    with pytest.raises(KeyboardInterrupt):
        run(3)
    again, fresh = run(99), stage.train_all(PARAMS, Kept(), "cpu")
    assert len(calls) == len(set(calls))
    assert all((again[name].W == fresh[name].W).all() for name in fresh)
