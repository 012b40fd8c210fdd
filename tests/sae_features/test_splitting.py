"""A planted neuron that answers to four kinds of text, and the features that it falls apart into."""

import numpy as np
import pytest
import torch

from replications.dictionaries.sae import Dictionary
from replications.dictionaries.stream import Site
from replications.sae_features import contexts, splitting, units

D, H, TOP = 6, 5, 20
CONTEXT = np.repeat(np.arange(5), 8)  # windows by kind of text
DRAWS = {"resamples": 30, "seed": 0}


def planted():
    """Activations [w, t, d]: feature c < 4 writes neuron 0, and neuron 1 + c alone, in context c."""
    rng = torch.Generator().manual_seed(0)
    f = torch.zeros(len(CONTEXT), 10, H)
    for window, c in enumerate(CONTEXT[:32].tolist()):
        f[window, :, c] = 1 + torch.rand(10, generator=rng)
    rows = torch.zeros(H, D)
    rows[:4, 0], rows[torch.arange(4), torch.arange(4) + 1], rows[4, 5] = 0.8, 0.6, 1
    return f, f @ rows, rows


def dictionary(rows):
    return Dictionary("standard", torch.zeros(D, H), torch.zeros(H), rows, torch.zeros(D))


def found():
    f, x, rows = planted()
    single = units.of_basis(Site("mlp_post", 1), torch.zeros(D))
    a = single.activations(x.flatten(0, 1)).view(*x.shape[:2], -1)
    tops = splitting.tops(a, CONTEXT, TOP)
    return f, x, a, tops, splitting.split(tops, f.flatten(0, 1), x.flatten(0, 1), dictionary(rows))


def test_the_planted_neuron_is_found_and_split_into_its_features():
    f, _, a, _, parts = found()
    (part,) = parts
    assert part.unit == 0
    assert set(part.features) == {0, 1, 2, 3}
    assert set(part.meanings) == {0, 1, 2, 3}
    assert all(part.features[i] == part.meanings[i] for i in range(4))
    assert sum(part.owned) == pytest.approx(1)
    assert part.accounted == pytest.approx(1, abs=1e-5)
    neurons, features = (contexts.answers(each, CONTEXT, 5, 0) for each in (a, f))
    summary = splitting.summary(parts, neurons, features, **DRAWS)
    assert summary["neuron_contexts"]["value"] == pytest.approx(4, abs=0.3)
    assert summary["feature_contexts"]["value"] == pytest.approx(1, abs=0.01)
    assert summary["gain"]["value"] == pytest.approx(3 / 4, abs=0.1)
    assert summary["distinct"]["value"] == 1
    assert splitting.example(parts, neurons, features) is part


def test_a_negative_sign_is_another_unit():
    f, x, rows = planted()
    single = units.of_basis(Site("mlp_post", 1), torch.zeros(D))
    a = single.activations(-x.flatten(0, 1)).view(*x.shape[:2], -1)
    parts = splitting.split(splitting.tops(a, CONTEXT, TOP), f.flatten(0, 1), -x.flatten(0, 1), dictionary(-rows))
    assert [single.label(part.unit) for part in parts] == ["L1.0-"]
    assert set(parts[0].features) == {0, 1, 2, 3}


def test_strongest_activations_come_from_different_windows():
    _, _, a, tops, _ = found()
    assert set(tops.units.tolist()) == {0}  # the others are active in fewer windows than are looked at
    (positions,) = tops.positions.tolist()
    assert len({position // 10 for position in positions}) == TOP
    values = a.flatten(0, 1)[positions, 0]
    assert (values.diff() <= 0).all()
    assert tops.contexts[0].tolist() == [CONTEXT[position // 10] for position in positions]


def test_effective_contexts_count():
    rows = torch.tensor([[0, 0, 1, 1, 2, 2], [3, 3, 3, 3, 3, 3]])
    assert splitting.effective_contexts(rows).tolist() == pytest.approx([3, 1])


def test_no_feature_that_adds_anything_leaves_the_neuron_out():
    f, x, rows = planted()
    _, _, _, tops, _ = found()
    assert splitting.split(tops, f.flatten(0, 1), x.flatten(0, 1), dictionary(-rows)) == []
    summary = splitting.summary([], None, None, **DRAWS)
    assert summary["neurons"]["value"] == 0
    assert summary["gain"]["value"] is None


def test_gains_are_compared_neuron_by_neuron():
    _, _, _, _, parts = found()
    found_ = splitting.paired(parts, parts, (np.array([0.5]), np.array([0.2])), **DRAWS)
    assert found_["value"] == pytest.approx(0.3)
    assert splitting.paired(parts, [], (np.array([0.5]), np.array([])), **DRAWS)["value"] is None


def test_contexts_dealt_at_random_leave_a_planted_unit_unselective():
    f, _, _, _, _ = found()
    answers = contexts.answers(f, CONTEXT, 5, seed=1)
    assert answers.selectivity[:4].tolist() == pytest.approx([1] * 4)
    assert answers.living.tolist() == [0, 1, 2, 3]
    summary = contexts.summary(answers, **DRAWS)
    assert summary["over_chance"]["ci_low"] > 0
    dead = contexts.answers(torch.zeros_like(f), CONTEXT, 5, seed=1)
    assert contexts.summary(dead, **DRAWS)["selectivity"] == {"value": None, "ci_low": None, "ci_high": None, "n": 0}
