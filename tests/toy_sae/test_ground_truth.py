import pytest
import torch

from replications.toy_sae.ground_truth import activations, codes, correlation_factor, make_truth


@pytest.mark.parametrize("correlated", [False, True])
def test_five_features_are_active_on_average_and_never_none(correlated):
    drawn = torch.cat([codes(make_truth(512, 16, 0, correlated=correlated), 4096, i) for i in range(4)]) > 0
    counts = drawn.sum(1)
    assert counts.min() >= 1
    assert counts.double().mean().item() == pytest.approx(5, abs=0.15)


def test_probabilities_fall_by_a_hundredth():
    truth = make_truth(512, 16, 0)
    share = (torch.cat([codes(truth, 8192, i) for i in range(4)]) > 0).double().mean(0)
    assert torch.allclose(truth.probability[1:] / truth.probability[:-1], torch.tensor(0.99))
    assert (share[:50].mean() / truth.probability[:50].mean()).item() == pytest.approx(1, abs=0.05)


def test_strengths_are_uniform_and_inputs_are_sums_of_unit_features():
    truth = make_truth(64, 16, 0)
    drawn = codes(truth, 4096, 0)
    assert drawn[drawn > 0].mean().item() == pytest.approx(0.5, abs=0.01)
    assert torch.allclose(truth.features.norm(dim=1), torch.ones(64))
    assert torch.allclose(activations(truth, 4096, 0), drawn @ truth.features)


def test_a_batch_depends_on_its_seed_and_number_alone():
    a, b = make_truth(64, 16, 0), make_truth(64, 16, 1)
    assert torch.equal(codes(a, 32, 7), codes(make_truth(64, 16, 0), 32, 7))
    assert not torch.equal(codes(a, 32, 7), codes(a, 32, 8))
    assert not torch.equal(codes(a, 32, 7), codes(b, 32, 7))


def test_correlated_features_go_together():
    factor = correlation_factor(64, 0)
    assert torch.allclose(factor.square().sum(1), torch.ones(64), atol=1e-5)
    truth = make_truth(64, 16, 0, correlated=True)
    drawn = (torch.cat([codes(truth, 8192, i) for i in range(8)]) > 0).double()
    wanted = (factor @ factor.T)[:20, :20].double()
    seen = torch.corrcoef(drawn[:, :20].T)
    off = ~torch.eye(20, dtype=torch.bool)
    assert torch.corrcoef(torch.stack([wanted[off], seen[off]]))[0, 1] > 0.3
