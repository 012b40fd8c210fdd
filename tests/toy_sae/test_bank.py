"""The gradients by hand, dense and sparse, are autograd's; a step is Adam's on one autoencoder at a time."""

import pytest
import torch
from torch.nn.functional import normalize

from replications.toy_sae import bank as banks
from replications.toy_sae.bank import ToyBank, l1_of
from replications.toy_sae.ground_truth import activations, make_truth

TRUTH = make_truth(24, 12, 0)
L1 = (0.02, 0.1, 0.5)


def trained(steps=20, **options):
    made = ToyBank(12, 20, L1, lr=0.01, seed=0, **options)
    for number in range(steps):
        made.step(activations(TRUTH, 32, number), 0.01)
    return made


def autograd(bank, x):
    parts = [part.clone().requires_grad_() for part in (bank.W_enc, bank.W_dec, bank.b_enc)]
    W_enc, W_dec, b_enc = parts
    c = (x @ W_enc.transpose(1, 2) + b_enc[:, None]).relu()
    error = (c @ W_dec - x).square().sum(2).mean(1)
    (error + bank.l1.view(-1) * c.sum(2).mean(1)).sum().backward()
    return [part.grad for part in parts]


@pytest.mark.parametrize("way", ["_dense", "_sparse"])
def test_gradients_are_autograds(way):
    bank, x = trained(), activations(TRUTH, 32, "more")
    bank._grads[0].fill_(9)  # what a step before left behind
    getattr(bank, way)(slice(0, 3), x)
    for found, wanted in zip(bank._grads, autograd(bank, x), strict=True):
        assert torch.allclose(found, wanted, atol=1e-6)
    assert bank.density.tolist() == pytest.approx((bank.encode(x) > 0).float().mean((1, 2)).tolist())


@pytest.mark.parametrize("below", [0.0, 1.1])
def test_both_ways_train_the_same_dictionaries(monkeypatch, below):
    mixed = trained(60)
    monkeypatch.setattr(banks, "SPARSE_BELOW", below)
    assert torch.allclose(trained(60).packed, mixed.packed, atol=1e-4)


def test_a_bank_is_its_members_one_by_one_with_torchs_own_adam():
    together = trained(5)
    for i, l1 in enumerate(L1):
        alone = ToyBank(12, 20, [l1], lr=0.01, seed=0)
        adam = torch.optim.Adam([alone.packed], lr=0.01)
        for number in range(5):
            x = activations(TRUTH, 32, number)
            for found, wanted in zip(alone._grads, autograd(alone, x), strict=True):
                found.copy_(wanted)
            adam.step()
            alone.W_dec.copy_(normalize(alone.W_dec, dim=2))
        assert torch.allclose(alone.W_enc[0], together.W_enc[i], atol=1e-5)
        assert torch.allclose(alone.W_dec[0], together.W_dec[i], atol=1e-5)


def test_decoder_rows_keep_their_length():
    assert torch.allclose(trained().W_dec.norm(dim=2), torch.ones(3, 20), atol=1e-5)


def test_nothing_active_is_no_gradient():
    bank = trained()
    bank.b_enc.fill_(-99)
    bank._sparse(slice(0, 3), activations(TRUTH, 32, "more"))
    assert all((part == 0).all() for part in bank._grads)


@pytest.mark.parametrize(("density", "first"), [((0.5, 0.2, 0.01), 2), ((0.01, 0.01, 0.01), 0), ((0.01, 0.5, 0.01), 2)])
def test_members_up_to_the_last_dense_one_are_dense(density, first):
    bank = ToyBank(12, 20, L1, lr=0.01, seed=0)
    bank.density = torch.tensor(density)
    assert bank._split() == first


def test_published_coefficient():
    d, h, alpha = 12, 20, 0.3
    x, x_hat, c = torch.rand(8, d), torch.rand(8, d), torch.rand(8, h)
    published = (x - x_hat).square().mean() + alpha * c.sum(1).mean() / h
    per_input = (x - x_hat).square().sum(1).mean() + l1_of(alpha, d, h) * c.sum(1).mean()
    assert per_input.item() == pytest.approx(d * published.item(), rel=1e-5)
