"""The hand-written gradient is autograd's, for every kind of model and batch."""

import pytest
import torch

from replications.superposition import model
from replications.superposition.model import Gradient, make_bank


def bank(linear=False, models=5, n=6, m=2):
    made = make_bank(models, n, m, linear=linear, generator=torch.Generator().manual_seed(0))
    made.b.normal_(0, 0.2, generator=torch.Generator().manual_seed(1))
    return made


def batch(models, size, n):
    draws = torch.Generator().manual_seed(2)
    return torch.rand(models, size, n, generator=draws) * (torch.rand(models, size, n, generator=draws) < 0.4)


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("cached", [1, 1 << 17])
def test_gradient_is_autograds(monkeypatch, linear, weighted, cached):
    monkeypatch.setattr(model, "CACHED", cached)
    made = bank(linear)
    x, importance = batch(5, 32, 6), 0.7 ** torch.arange(6.0).expand(5, -1)
    weight = torch.rand(5, 32, generator=torch.Generator().manual_seed(3)).softmax(1) if weighted else None
    gradient = Gradient(made, importance, 32)
    gradient(lambda at: (x[at], None if weight is None else weight[at]))
    packed = made.packed.clone().requires_grad_()
    views = model._views(packed, 5, 6, 2, linear)
    y = torch.baddbmm(views.b[:, None], x @ views.W, views.W.transpose(1, 2))
    error = ((y if linear else y.relu()) - x).square() @ importance[0]
    (error.mean(1) if weight is None else (error * weight).sum(1)).sum().backward()
    assert torch.allclose(gradient.packed, packed.grad, atol=1e-6)


@pytest.mark.parametrize("linear", [False, True])
def test_losses_are_those_of_one_model_at_a_time(linear):
    made, x = bank(linear), batch(5, 32, 6)
    importance = torch.rand(5, 6, generator=torch.Generator().manual_seed(4))
    together = model.losses(made, x, importance)
    for i in range(5):
        y = x[i] @ made.W[i] @ made.W[i].T + made.b[i]
        error = (y if linear else y.clamp(min=0)) - x[i]
        assert together[i].item() == pytest.approx((error.square() * importance[i]).sum(1).mean().item(), rel=1e-5)


def test_parts_and_moves_keep_the_weights():
    made = bank()
    assert torch.equal(made.part(slice(2, 4)).W, made.W[2:4])
    moved = made.to("cpu")
    assert torch.equal(moved.W, made.W)
    assert torch.equal(moved.b, made.b)
