"""A dictionary against loops over features, and what a change of units must leave alone."""

import pytest
import torch

from replications.dictionaries.sae import KINDS, Dictionary, keep_top


def make(kind, d=5, h=9, seed=0):
    g = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=g)

    rows = draw(h, d)
    own = {"topk": {"k": 3}, "batch_topk": {"threshold": torch.full((h,), 0.5)}}.get(kind, {})
    return Dictionary(kind, draw(d, h), draw(h), rows / rows.norm(dim=1, keepdim=True), draw(d), **own)


def by_loop(one, x):
    """Features of one activation, a feature at a time."""
    pre = [float((x - one.b_dec) @ one.W_enc[:, i] + one.b_enc[i]) for i in range(one.h)]
    largest = sorted(pre, reverse=True)[: one.k or one.h]
    rule = {"standard": lambda v, _: v > 0, "topk": lambda v, _: v > 0 and v in largest,
            "batch_topk": lambda v, i: v > one.threshold[i]}[one.kind]  # fmt: skip
    return torch.tensor([v if rule(v, i) else 0.0 for i, v in enumerate(pre)])


@pytest.mark.parametrize("kind", KINDS)
def test_encoding_is_the_loop_over_features(kind):
    one, x = make(kind), torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    f = one.encode(x)
    assert torch.allclose(f, torch.stack([by_loop(one, row) for row in x]), atol=1e-5)
    assert torch.allclose(one(x), f @ one.W_dec + one.b_dec, atol=1e-6)
    assert (one.d, one.h) == (5, 9)


@pytest.mark.parametrize("kind", KINDS)
def test_other_units_scale_features_and_leave_directions(kind):
    one, x = make(kind), torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    other = one.in_units_of(0.25)  # for activations four times as large
    assert torch.allclose(other.encode(4 * x), 4 * one.encode(x), atol=1e-5)
    assert torch.allclose(other(4 * x), 4 * one(x), atol=1e-5)
    assert torch.equal(other.W_dec, one.W_dec)


def test_the_k_largest_are_kept_if_positive():
    pre = torch.tensor([[3.0, -1.0, 2.0, 1.0], [-3.0, -1.0, -2.0, 0.5]])
    assert keep_top(pre, 2).tolist() == [[3, 0, 2, 0], [0, 0, 0, 0.5]]


def test_a_move_takes_every_tensor_along():
    one = make("batch_topk").to("cpu")
    assert one.threshold is not None
    assert one.info == {}
