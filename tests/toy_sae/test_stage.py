"""From a small grid to the evidence: all claims find their quantities, nothing is half-written, twice is the same."""

import drawn
import pytest

from replications.catalogue import store
from replications.claims.evidence import paths, without_places
from replications.claims.ledger import load_claims
from replications.errors import Refusal
from replications.evidence.run import Run
from replications.settings import load_settings
from replications.toy_sae import article, figures, recovery, stage

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


def test_everything_is_written_and_drawn(written, tmp_path):
    out, tree = written
    assert drawn.files(out) == drawn.evidence("grid", "recovery", "article")
    assert drawn.draw("toy_sae", out, tmp_path) == drawn.pictures("grid", "recovery", "article")
    assert tree.keys() == {"measured", "control"}


def test_two_runs_write_the_same_numbers(written, run):
    out, _ = written
    again, _ = run()
    for name in drawn.files(out):
        assert (again / name).read_bytes() == (out / name).read_bytes()


def test_recovery_is_of_the_best_dictionary_and_of_controls_of_its_size(written):
    out, tree = written
    table, best = Run(out).tables["recovery"], tree["measured"]["grid"]["best"]
    assert set(table["directions"]) == {"autoencoder", *figures.CONTROLS}
    assert set(table["units"]) == {best["ratio"]["value"] * 24}
    found = table.loc[table["directions"] == "autoencoder", "cosine"]
    assert found.mean() == pytest.approx(best["mmcs"]["value"], rel=1e-4)
    assert (found >= figures.RECOVERED).mean() == best["recovered"]["value"]
    assert figures.RECOVERED == recovery.RECOVERED


def test_every_claim_is_about_something_that_is_measured(written):
    _, tree = written
    known = {without_places(path) for path in paths(tree["measured"])}
    for claim in load_claims("toy_sae"):
        assert {without_places(path) for path in claim.quantities} <= known, claim.id


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
