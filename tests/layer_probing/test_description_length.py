"""Codes of labels whose entropy is known."""

import math

import pytest
import torch

from replications.layer_probing.description_length import online_code, portions


def coins(n, d=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, n, d, generator=generator), torch.randint(0, 2, (1, n), generator=generator)


def test_a_fair_coin_costs_a_bit_per_toss():
    states, labels = coins(1024)
    bits = online_code(states, labels, n_classes=2, c=0.001)
    assert bits.shape == (2, 1, 1024)
    assert bits.sum(dim=-1) / 1024 == pytest.approx(torch.ones(2, 1), abs=0.02)


def test_a_fair_coin_costs_no_less_however_hard_the_probe_tries():
    states, labels = coins(512)
    assert (online_code(states, labels, n_classes=2, c=10.0).mean(dim=-1) > 0.98).all()


def test_labels_that_can_be_read_off_cost_little_and_more_the_later_they_show():
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 4, (1, 1024), generator=generator)
    shown = torch.nn.functional.one_hot(labels[0], 4).float()
    states = torch.stack([shown * 8, shown, shown * 0]) + torch.randn(3, 1024, 4, generator=generator)
    per_word = online_code(states, labels, n_classes=4, c=1.0).mean(dim=-1)[:, 0]
    assert per_word[0] < 0.2
    assert per_word[0] < per_word[1] < per_word[2]
    assert per_word[2] == pytest.approx(2, abs=0.06)


def test_the_first_portion_is_sent_with_the_uniform_code():
    states, labels = coins(320)
    bits = online_code(states, labels, n_classes=2, c=0.1)
    assert torch.equal(bits[..., :10], torch.ones(2, 1, 10))


def test_what_comes_later_does_not_change_what_was_sent():
    states, labels = coins(320)
    other = labels.clone()
    other[:, 160:] = 1 - other[:, 160:]
    a, b = (online_code(states, some, n_classes=2, c=0.1) for some in (labels, other))
    assert torch.equal(a[..., :160], b[..., :160])


@pytest.mark.parametrize("n", [1, 2, 7, 100, 4000])
def test_portions_end_with_the_last_word(n):
    ends = portions(n)
    assert ends[-1] == n
    assert ends == sorted(set(ends))
    assert ends[0] == max(1, round(n / 32)) or math.isclose(n, 1)
