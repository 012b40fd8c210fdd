import numpy as np
import pytest
import torch

from replications.toy_sae import recovery
from replications.toy_sae.ground_truth import activations, make_truth

TRUTH = make_truth(24, 12, 0)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(recovery, "TEST_BATCHES", 3)
    monkeypatch.setattr(recovery, "TEST_BATCH", 256)


def test_the_truth_recovers_itself_and_order_and_length_do_not_matter():
    rows = 3 * TRUTH.features[torch.randperm(24, generator=torch.Generator().manual_seed(0))]
    assert recovery.cosines(TRUTH, rows).tolist() == pytest.approx([1] * 24)


def test_fit_is_what_one_batch_at_a_time_gives():
    draws = torch.Generator().manual_seed(0)
    W_enc, W_dec = torch.randn(2, 20, 12, generator=draws), torch.randn(2, 20, 12, generator=draws)
    b_enc = torch.randn(2, 20, generator=draws)
    b_enc[1, :7] = -99
    found = recovery.fit({"W_enc": W_enc, "b_enc": b_enc, "W_dec": W_dec}, TRUTH)
    x = torch.cat([activations(TRUTH, 256, f"test {i}") for i in range(3)])
    for i in range(2):
        c = (x @ W_enc[i].T + b_enc[i]).relu()
        assert found["fvu"][i] == pytest.approx(((c @ W_dec[i] - x).square().sum() / x.square().sum()).item(), rel=1e-4)
        assert found["l0"][i] == pytest.approx((c > 0).sum(1).float().mean().item(), rel=1e-4)
    assert found["dead"][1] == 7


def test_a_dictionary_that_the_larger_one_contains():
    small = torch.stack([TRUTH.features[:5], TRUTH.features[5:10]])
    large = torch.stack([TRUTH.features, TRUTH.features.flip(0)])
    found = recovery.with_larger({5: small, 24: large})
    assert list(found) == [5]
    assert found[5].shape == (2, 5)
    assert found[5] == pytest.approx(np.ones((2, 5)))


def test_controls_have_at_most_the_rows_that_are_asked_for():
    found = recovery.controls(TRUTH, [8, 40], seed=0)
    assert {name: len(rows[40]) for name, rows in found.items()} == {"random": 40, "pca": 24, "ica": 24}
    assert {name: len(rows[8]) for name, rows in found.items()} == {"random": 8, "pca": 8, "ica": 8}


def test_ica_recovers_what_is_not_in_superposition():
    from replications.toy_sae.ground_truth import GroundTruth

    few = make_truth(12, 12, 0)
    truth = GroundTruth(few.features, torch.full((12,), 0.2), None, 0)
    x = torch.cat([activations(truth, 4096, i) for i in range(4)])
    assert recovery.cosines(truth, recovery.independent(x, 12, 0)).mean() > 0.95
