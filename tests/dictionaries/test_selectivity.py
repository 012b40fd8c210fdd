"""Units made by hand: one concept, three, all, none; small chance responses to hundreds of concepts change little."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from replications.dictionaries.selectivity import concepts, responses, selectivity


@pytest.mark.parametrize(("response", "share", "count"), [
    ([1.0, 0, 0, 0], 1, 1), ([1.0, 1, 1, 0], 1 / 3, 3), ([2.0, 2, 2, 2], 1 / 4, 4), ([0.0, 0, 0, 0], 0, 0),
])  # fmt: skip
@settings(deadline=None)
@given(scale=st.floats(1e-30, 1e30))
def test_counts(response, share, count, scale):
    rows = scale * torch.tensor([response])
    assert selectivity(rows).item() == pytest.approx(share, rel=1e-4)
    assert concepts(rows).item() == pytest.approx(count, rel=1e-4)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=30), st.randoms())
def test_bounds_and_order_of_concepts(values, random):
    shuffled = random.sample(values, len(values))
    rows = torch.tensor([values, shuffled])
    share, count = selectivity(rows), concepts(rows)
    assert share[0].item() == pytest.approx(share[1].item(), rel=1e-3)
    assert count[0].item() == pytest.approx(count[1].item(), rel=1e-3)
    assert ((share <= 1 + 1e-5) & (count <= len(values) * (1 + 1e-3))).all()


def test_chance_responses_to_hundreds_of_concepts_do_not_drown_three():
    noise = 0.015 * torch.rand(1, 500, generator=torch.Generator().manual_seed(0))
    noise[0, :3] += 0.5
    assert concepts(noise).item() == pytest.approx(3, abs=0.5)
    assert concepts(noise.sqrt()).item() > 20  # what the measure would say without the squares


def test_response_is_the_mean_with_a_concept_less_the_mean_without():
    activation = torch.tensor([[4.0, 1], [2, 1], [0, 1], [1, 1]])
    present = torch.tensor([[True, False, True], [True, False, True], [False, False, True], [False, True, True]])
    found = responses(activation, present)
    assert found[0].tolist() == pytest.approx([3 - 0.5, 0, 0])  # below the mean without it; always there
    assert found[1].tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert responses(activation, torch.zeros(4, 2, dtype=torch.bool)).sum() == 0
