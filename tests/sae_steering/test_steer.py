"""Clamping sets the feature and changes nothing else; every method writes as far as the others."""

import pytest
import torch
from dictionaries.test_sae import make

from replications.sae_steering.steer import Steering, add, clamp, none

D, H = 8, 24


def inputs():
    return torch.randn(3, 5, D, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", ["standard", "topk", "batch_topk"])
def test_a_row_s_activation_is_the_dictionary_s(kind):
    dictionary, x = make(kind, d=D, h=H), inputs()
    features = [3, 7, 20]
    found = Steering.of(dictionary, [clamp(dictionary, f, 1.0) for f in features]).activation(x)
    whole = dictionary.encode(x.reshape(-1, D)).view(3, 5, H)
    assert whole.amax() > 0
    torch.testing.assert_close(found, torch.stack([whole[i, :, f] for i, f in enumerate(features)]))


@pytest.mark.parametrize("kind", ["standard", "topk", "batch_topk"])
def test_clamping_changes_that_feature_s_part_of_the_activation_only(kind):
    """Oracle: decode with the one feature set, and add back what the dictionary had not explained."""
    dictionary, x = make(kind, d=D, h=H), inputs()[:1]
    flat = x.reshape(-1, D)
    f = dictionary.encode(flat)
    changed, error = f.clone(), flat - dictionary.decode(f)
    changed[:, 7] = 4.0
    found = Steering.of(dictionary, [clamp(dictionary, 7, 4.0)])(x)
    torch.testing.assert_close(found.reshape(-1, D), dictionary.decode(changed) + error, atol=1e-5, rtol=1e-4)


def test_the_budget_is_the_same_for_every_method():
    dictionary, x = make("batch_topk", d=D, h=H), inputs().repeat(1, 8, 1)
    x = x * torch.linspace(-2, 2, 40)[:, None]  # some with the features off
    pushes = [clamp(dictionary, 3, 2.5), add(torch.arange(D).float(), 2.5), clamp(dictionary, 9, 2.5)]
    steering = Steering.of(dictionary, pushes)
    length = (steering(x) - x).norm(dim=-1)
    off = steering.activation(x) == 0
    assert off.any(dim=1).all()
    torch.testing.assert_close(length[off], torch.full_like(length[off], 2.5))


def test_a_row_without_a_push_is_left_alone():
    dictionary, x = make("batch_topk", d=D, h=H), inputs()
    steering = Steering.of(dictionary, [none(D), clamp(dictionary, 3, 2.5), none(D)])
    assert torch.equal(steering(x)[[0, 2]], x[[0, 2]])
    assert not torch.equal(steering(x)[1], x[1])


def test_the_first_position_is_left_alone_where_asked():
    dictionary, x = make("batch_topk", d=D, h=H), inputs()
    steering = Steering.of(dictionary, [clamp(dictionary, 3, 2.5)] * 3)
    after = steering.after_first(x)
    assert torch.equal(after[:, 0], x[:, 0])
    torch.testing.assert_close(after[:, 1:], steering(x)[:, 1:], atol=1e-5, rtol=1e-4)  # a position fewer: other sums
