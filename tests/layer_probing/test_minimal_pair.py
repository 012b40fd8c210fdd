"""Noun against verb on planted states: context tells, the word does not."""

import pytest
import torch
from layer_probing import made_up

from replications.layer_probing import minimal_pair, stimuli
from replications.layer_probing.probe_series import Plan

PLAN = Plan(c=1.0, seeds=3, seed=0, bits=False)


@pytest.fixture
def places(monkeypatch):
    monkeypatch.setattr(stimuli, "noun_verb", made_up.ambiguous)
    return stimuli.ambiguous_places("en", source="own", types={"train": 20, "dev": 8, "test": 16}, seed=1, prefix=False)


def test_states_that_show_the_class_are_told_apart_on_new_types(places):
    labels = minimal_pair.labels_of(places)
    states = torch.randn(len(places), 10, generator=torch.Generator().manual_seed(0))
    states[:, 0] += 8 * labels
    found = minimal_pair.probe_layer(states, places, PLAN)
    assert found["test.task"].shape == found["test.shuffled"].shape == (3, 32)
    assert found["dev.task"].shape == (3, 16)
    assert found["test.task"].float().mean() > 0.95
    assert abs(found["test.shuffled"].float().mean() - 0.5) < 0.35
    noun, verb = found["article"].unbind(dim=1)
    assert (noun < 0.5).all()
    assert (verb > 0.5).all()


def test_states_that_are_the_word_are_right_half_of_the_time(places):
    lost = next(place for place in places if place.split == "train" and place.label == 1)
    places = [place for place in places if place is not lost]  # else only rounding would tell which class is likelier
    kinds = sorted({place.type for place in places})
    states = torch.nn.functional.one_hot(torch.tensor([kinds.index(place.type) for place in places])).float()
    found = minimal_pair.probe_layer(states, places, PLAN)
    assert 2 * found["test.task"].sum() == found["test.task"].numel()  # one vector, two labels
    assert torch.allclose(found["article"][:, 0], found["article"][:, 1])
