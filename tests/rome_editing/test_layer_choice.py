"""Regressions on rewrite scores and tracing effects that we chose."""

import numpy as np
import pytest

from replications.errors import Refusal
from replications.rome_editing import layer_choice

LAYERS = [0, 3, 6, 9]
RNG = np.random.default_rng(0)
TRACING = RNG.normal(size=(12, 4))


def quantities(rewrite, tracing=TRACING):
    return layer_choice.quantities(rewrite, tracing, LAYERS, default=3, resamples=60, seed=0)


def test_rewrite_score_is_the_share_of_what_was_possible():
    assert layer_choice.rewrite_score(np.array([0.2]), np.array([0.6]))[0] == pytest.approx(0.5)


def test_where_the_layer_decides_tracing_adds_nothing():
    rewrite = np.tile([0.9, 0.9, 0.8, 0.1], (12, 1)) + 0.01 * RNG.normal(size=(12, 4))
    tree = quantities(rewrite)
    assert tree["r2"]["layer"]["value"] > 0.99
    assert tree["r2"]["tracing"]["value"] < 0.2
    assert tree["added_r2"]["value"] < 0.001
    assert tree["rewrite_last"]["value"] == pytest.approx(0.1, abs=0.02)
    assert tree["rewrite_lowest_but_last"]["value"] == pytest.approx(0.8, abs=0.02)


def test_where_tracing_decides_it_is_seen():
    tree = quantities(0.5 + 0.1 * TRACING)
    assert tree["r2"]["tracing"]["value"] == pytest.approx(1)
    assert tree["added_r2"]["value"] > 0.5
    assert tree["added_r2"]["ci_low"] > tree["added_r2_by_chance"]["ci_high"]
    assert tree["rho_at_default"]["value"] == pytest.approx(1)


def test_r2_is_that_of_least_squares():
    rewrite = RNG.normal(size=(12, 4))
    layer, tracing, both = layer_choice.fits(rewrite, TRACING)
    y, x = rewrite.ravel(), TRACING.ravel()
    assert tracing == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2)
    total = ((y - y.mean()) ** 2).sum()
    assert layer == pytest.approx(1 - ((rewrite - rewrite.mean(axis=0)) ** 2).sum() / total)
    design = np.column_stack([np.tile(np.eye(4), (12, 1)), x])
    residual = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    assert both == pytest.approx(1 - (residual**2).sum() / total)
    assert both >= max(layer, tracing)


def test_correlations_are_by_layer_over_facts():
    rewrite = np.column_stack([TRACING[:, 0], -TRACING[:, 1], np.zeros(12), RNG.normal(size=12)])
    found = layer_choice.correlations(rewrite, TRACING)
    np.testing.assert_allclose(found[:2], [1, -1])
    assert np.isnan(found[2])
    assert found[3] == pytest.approx(np.corrcoef(rewrite[:, 3], TRACING[:, 3])[0, 1])


def test_scores_that_do_not_vary_have_no_regression():
    tree = quantities(np.ones((12, 4)))
    assert tree["r2"]["layer"]["value"] is None
    assert tree["added_r2"]["value"] is None
    assert tree["rewrite_at_default"]["value"] == 1


def write(path, *rows):
    path.write_text("\n".join(["list,fact,kind,layer,effect,total_effect", *rows]) + "\n")
    return path


def test_traces_are_shares_of_the_total_effect_of_the_mlp(tmp_path):
    file = write(tmp_path / "facts.csv", "facts,a,mlp,0,0.1,0.4", "facts,a,mlp,4,0.2,0.4", "facts,a,attn,0,0.3,0.4",
                 "facts,b,mlp,0,0.1,-0.2")  # fmt: skip
    traces = layer_choice.read_traces(file)
    assert traces == {"a": {0: pytest.approx(0.25), 4: pytest.approx(0.5)}}
    np.testing.assert_allclose(layer_choice.at_layers(traces, ["a"], [0, 1, 2, 3, 9]), [[0.25, 0.25, 0.25, 0.5, 0.5]])


def test_missing_traces_say_what_to_run(tmp_path):
    with pytest.raises(Refusal, match=r"facts\.csv does not exist: run `replicate run rome_tracing`"):
        layer_choice.read_traces(tmp_path / "facts.csv")


@pytest.mark.parametrize("data", [b"fact,layer\na,1\n", b"\xff\xfe", b"kind\n" + b"m" * 200_000])
def test_traces_of_another_form_are_refused(tmp_path, data):
    (tmp_path / "facts.csv").write_bytes(data)
    with pytest.raises(Refusal, match="should have the columns fact, layer, kind, effect, total_effect"):
        layer_choice.read_traces(tmp_path / "facts.csv")
