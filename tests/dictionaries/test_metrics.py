"""Metrics against their definitions written out, and at the ends of their range."""

import numpy as np
import pytest
import torch
from dictionaries.test_sae import make

from replications.dictionaries import baselines, metrics
from replications.dictionaries.metrics import Fit
from replications.evidence import stats

DRAWS = {"resamples": 50, "seed": 0}


def data(w=5, t=7, d=5, seed=0):
    return torch.randn(w, t, d, generator=torch.Generator().manual_seed(seed)) + 1


def test_a_fit_is_what_its_sums_say():
    one, x = make("topk"), data()
    mean = x.mean(dim=(0, 1))
    found = metrics.fit(one, x, mean)
    flat = x.flatten(0, 1)
    f, error = one.encode(flat), flat - one(flat)
    quality = metrics.quality([found], stats.resample_weights(5, **DRAWS))
    assert quality["l0"]["value"] == pytest.approx((f > 0).float().sum(dim=1).mean().item())
    fvu = (error.square().sum() / (flat - mean).square().sum()).item()
    assert quality["fvu"]["value"] == pytest.approx(fvu, rel=1e-4)
    assert quality["variance_explained"]["value"] == pytest.approx(1 - fvu, rel=1e-4)
    assert quality["nmse"]["value"] == pytest.approx((error.square().sum() / flat.square().sum()).item(), rel=1e-4)
    assert quality["nmse"]["value"] < quality["fvu"]["value"]  # no mean is taken off
    assert np.array_equal(found.fired, (f > 0).sum(dim=0).numpy())
    assert found.per_window == 7


def test_seeds_are_averaged():
    x = data()
    fits = [metrics.fit(make("standard", seed=seed), x, x.mean(dim=(0, 1))) for seed in (0, 1)]
    weights = stats.resample_weights(5, **DRAWS)
    both, *each = (metrics.quality(some, weights)["fvu"]["value"] for some in (fits, fits[:1], fits[1:]))
    assert both == pytest.approx(np.mean(each))


def test_recovered_is_one_for_the_activation_and_zero_for_its_ablation():
    clean, ablated = np.array([2.0, 3.0, 4.0]), np.array([5.0, 9.0, 6.0])
    weights = stats.resample_weights(3, **DRAWS)
    assert metrics.recovered(clean, clean, ablated, weights)["value"] == 1
    assert metrics.recovered(clean, ablated, ablated, weights)["value"] == 0
    assert metrics.recovered(clean, (clean + ablated) / 2, ablated, weights)["value"] == pytest.approx(0.5)


def test_density_counts_features():
    found = metrics.density(np.array([0, 1, 10, 500]), 1000)
    assert found["median_log10"]["value"] == pytest.approx(-2)
    assert found["ultra_low"]["value"] == 0.25
    assert found["sparse"]["value"] == 0.25
    assert found["dense"]["value"] == 0.25
    assert metrics.density(np.zeros(3), 10)["median_log10"]["value"] is None
    counts = metrics.histogram(np.array([0, 1, 10, 500]), 1000, np.array([-4, -2.5, -1.5, 0]))
    assert counts.tolist() == [1, 1, 1]


def test_each_paper_has_its_own_window():
    since = torch.tensor([[0, 8192, 10**7, 10**8]])
    found = metrics.dead(since, 10**9)
    assert [found[name]["value"] for name in ("dictionary_learning", "templeton", "gao", "bricken")] == [
        0.75, 0.5, 0.5, 0.25]  # fmt: skip
    cut = metrics.dead(torch.tensor([[0, 40, 100]]), 100)
    assert cut["bricken"]["value"] == pytest.approx(1 / 3)
    assert cut["bricken_window"]["value"] == 100
    assert metrics.alive(np.array([0, 3, 1]))["value"] == pytest.approx(2 / 3)


def test_features_are_alike_up_to_order_and_length():
    rows = make("standard").W_dec
    other = 3 * rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]
    assert metrics.mmcs(rows, other, **DRAWS)["value"] == pytest.approx(1, abs=1e-6)
    assert metrics.paired_mmcs({0: rows, 1: other}, **DRAWS)["value"] == pytest.approx(1, abs=1e-6)
    assert metrics.paired_mmcs({0: rows}, **DRAWS) is None
    loop = [max(float(a @ b / a.norm() / b.norm()) for b in make("topk", seed=4).W_dec) for a in rows]
    assert metrics.max_cosine(rows, make("topk", seed=4).W_dec) == pytest.approx(loop, abs=1e-5)


def low_rank(n=400, d=8, rank=2):
    g = torch.Generator().manual_seed(0)
    return torch.randn(n, rank, generator=g) @ torch.randn(rank, d, generator=g) + 5


def test_principal_components_are_exact_where_there_are_few():
    x = low_rank()
    one = baselines.principal(x, 16, 2)
    assert torch.allclose(one(x), x, atol=1e-3)
    assert (one.encode(x) > 0).sum(dim=1).max() <= 2
    assert one.h == 16
    assert baselines.principal(x, 100, 2).h == 16  # both signs of eight directions are all there are


def test_random_directions_explain_less():
    x = low_rank()[None]
    mean = x.mean(dim=(0, 1))
    fits = [metrics.fit(one, x, mean) for one in (baselines.principal(x[0], 16, 2), baselines.random(x[0], 16, 2, 0))]
    explained = [float(fit.error.sum() / fit.variance.sum()) for fit in fits]
    assert explained[0] < 0.01 < explained[1]
    assert isinstance(fits[0], Fit)
    again = baselines.random(x[0], 16, 2, 0)
    assert torch.equal(again.W_dec, baselines.random(x[0], 16, 2, 0).W_dec)
