"""The gradients by hand, dense and sparse, are autograd's; a step is Adam's on one autoencoder at a time."""

import pytest
import torch
from torch.nn.functional import normalize

from replications.dictionaries import codes
from replications.toy_sae.bank import ToyBank, l1_of
from replications.toy_sae.ground_truth import activations, make_truth

TRUTH = make_truth(24, 12, 0)
L1 = (0.02, 0.1, 0.5)


def trained(steps=20, **options):
    made = ToyBank(12, 20, L1, seed=0, **options)
    for number in range(steps):
        made.step(activations(TRUTH, 32, number), 0.01)
    return made


def gradients(bank, x):
    """Of a step on x: the mean of a first gradient is a tenth of it."""
    for held in bank.held:
        held.mean.zero_()
    bank.step(x, 0.0)
    return [held.mean * 10 for held in bank.held]


def autograd(bank, x):
    parts = [part.clone().requires_grad_() for part in (bank.W_enc, bank.W_dec, bank.b_enc)]
    W_enc, W_dec, b_enc = parts
    c = (x @ W_enc.transpose(1, 2) + b_enc[:, None]).relu()
    error = (c @ W_dec - x).square().sum(2).mean(1)
    (error + bank.l1.view(-1) * c.sum(2).mean(1)).sum().backward()
    return [part.grad for part in parts]


@pytest.mark.parametrize("worthwhile", [0.0, 2.0])
def test_gradients_are_autograds(worthwhile, monkeypatch):
    monkeypatch.setattr(codes, "WORTHWHILE", worthwhile)  # entry by entry never, or always
    bank, x = trained(), activations(TRUTH, 32, "more")
    for wanted, found in zip(autograd(bank, x), gradients(bank, x), strict=True):
        assert torch.allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("worthwhile", [0.0, 2.0])
def test_both_ways_train_the_same_dictionaries(monkeypatch, worthwhile):
    mixed = trained(60)
    monkeypatch.setattr(codes, "WORTHWHILE", worthwhile)
    for one, other in zip(trained(60).held, mixed.held, strict=True):
        assert torch.allclose(one.value, other.value, atol=1e-4)


def test_a_bank_is_its_members_one_by_one_with_torchs_own_adam():
    together = trained(5)
    for i, l1 in enumerate(L1):
        alone = ToyBank(12, 20, [l1], seed=0)
        parts = [held.value for held in alone.held]
        adam = torch.optim.Adam(parts, lr=0.01)
        for number in range(5):
            for part, gradient in zip(parts, autograd(alone, activations(TRUTH, 32, number)), strict=True):
                part.grad = gradient
            adam.step()
            alone.W_dec.copy_(normalize(alone.W_dec, dim=2))
        assert torch.allclose(alone.W_enc[0], together.W_enc[i], atol=1e-5)
        assert torch.allclose(alone.W_dec[0], together.W_dec[i], atol=1e-5)


def test_decoder_rows_keep_their_length():
    assert torch.allclose(trained().W_dec.norm(dim=2), torch.ones(3, 20), atol=1e-5)


def test_nothing_active_is_no_gradient():
    bank = trained()
    bank.b_enc.fill_(-99)
    assert all((part == 0).all() for part in gradients(bank, activations(TRUTH, 32, "more")))


@pytest.mark.parametrize(("active", "first"), [((10, 4, 1), 1), ((10, 6, 1), 2), ((1, 1, 1), 0), ((1, 10, 1), 2)])
def test_members_up_to_the_last_dense_one_are_dense(active, first):
    bank = ToyBank(12, 20, L1, seed=0)
    pre = -torch.ones(3, 8, 20)
    for member, n in enumerate(active):
        pre[member, :, :n] = 1
    assert bank._split(pre, torch.zeros(3, 8))[0] == first


def test_published_coefficient():
    d, h, alpha = 12, 20, 0.3
    x, x_hat, c = torch.rand(8, d), torch.rand(8, d), torch.rand(8, h)
    published = (x - x_hat).square().mean() + alpha * c.sum(1).mean() / h
    per_input = (x - x_hat).square().sum(1).mean() + l1_of(alpha, d, h) * c.sum(1).mean()
    assert per_input.item() == pytest.approx(d * published.item(), rel=1e-5)
