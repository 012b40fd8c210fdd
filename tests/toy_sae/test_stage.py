"""From a small grid to the evidence: all claims find their quantities, nothing is half-written, twice is the same."""

import pytest

from replications.catalogue import store
from replications.claims.evidence import paths, without_places
from replications.claims.ledger import load_claims
from replications.errors import Refusal
from replications.settings import load_settings
from replications.toy_sae import article, recovery, stage

CLAIMS = load_claims("toy_sae")
PARAMS = {
    "seed": 0, "alpha_low": -4, "alpha_high": 0, "alpha_step": 4, "ratio_low": -1, "ratio_high": 1,
    "recipe": {"steps": 12, "batch": 32, "lr": 0.01}, "article_toys": 2, "resamples": 20,
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs the stage in a small world; the folder and the tree."""

    def once():
        out = tmp_path_factory.mktemp("out")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stage, "D", 12)
            patch.setattr(stage, "G", 24)
            patch.setattr(recovery, "TEST_BATCHES", 2)
            patch.setattr(recovery, "TEST_BATCH", 128)
            patch.setattr(article, "OBSERVED", 256)
            patch.setattr(stage, "room_params", lambda room, profile: PARAMS)
            patch.setattr(store, "cache_root", lambda: tmp_path_factory.mktemp("cache"))
            return out, stage.run(model="toy", language="en", device="cpu", profile="default", out=out)

    return once


@pytest.fixture(scope="module")
def written(run):
    return run()


def test_everything_is_written(written):
    out, tree = written
    drawn = {f"{name}.{kind}" for name in ("grid", "recovery", "article") for kind in ("svg", "png")}
    assert {file.name for file in out.iterdir()} == {
        "grid.csv",
        "article.csv",
        "metrics.json",
        "provenance.json",
    } | drawn
    assert tree.keys() == {"measured", "control"}


def test_two_runs_write_the_same_numbers(written, run):
    out, _ = written
    again, _ = run()
    for name in ("metrics.json", "grid.csv", "article.csv", "grid.svg"):
        assert (again / name).read_bytes() == (out / name).read_bytes()


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_every_claim_is_about_something_that_is_measured(written, claim):
    _, tree = written
    known = {without_places(path) for path in paths(tree["measured"])}
    assert {without_places(path) for path in claim.quantities} <= known


def test_the_control_has_what_the_main_claims_ask(written):
    _, tree = written
    assert {"grid.best.mmcs", "grid.best.recovered", "article.most_concepts"} <= set(paths(tree["control"]))


def test_the_full_profile_is_the_published_grid():
    from replications.settings import room_params

    params = room_params("toy_sae", "full")
    assert stage.alphas(params) == pytest.approx([10 ** (k / 4) for k in range(-8, 9)])
    assert stage.sizes(params) == [128, 256, 512, 1024, 2048, 4096, 8192, 16384]


def test_params_have_what_a_run_reads():
    assert set(load_settings().rooms["toy_sae"]) == set(PARAMS)


def test_anything_but_the_toy_is_refused(tmp_path):
    with pytest.raises(Refusal, match="model should be toy and language en"):
        stage.run(model="gpt2", language="en", device="cpu", profile="default", out=tmp_path)
