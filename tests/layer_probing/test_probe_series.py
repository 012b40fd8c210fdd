"""One layer's probes on planted states: the task is found, the control task by word type, shuffled labels not."""

import numpy as np
import pytest
import torch
from layer_probing import made_up

from replications.layer_probing import probe_series, stimuli
from replications.layer_probing.linear_probes import fit, scale_of
from replications.layer_probing.probe_series import Plan, fit_seeds

PLAN = Plan(c=1.0, seeds=3, seed=0, bits=True)


@pytest.fixture
def words(monkeypatch):
    monkeypatch.setattr(stimuli, "load_task", made_up.tagged)
    monkeypatch.setattr(stimuli, "sources", made_up.sources)
    return stimuli.treebank_words("en", source="own", train=30, test=16, seed=1)


@pytest.fixture
def probed(words):
    def run(states, plan=PLAN):
        keep = np.ones(len(words.words), dtype=bool)
        made = probe_series.problems(words, keep, plan.seed)
        return {
            name: tensor.numpy() for name, tensor in probe_series.probe_layer(states, made, words, keep, plan).items()
        }

    return run


def test_states_that_are_the_tag_give_the_task_and_not_the_control_task(words, probed):
    found = probed(torch.nn.functional.one_hot(torch.from_numpy(words.labels["pos"]), 3).float())
    assert found["pos.task"].mean() == 1
    assert found["pos.control"].mean() < 0.8
    assert found["pos.task.bits"].mean() < found["pos.control.bits"].mean()


def test_states_that_are_the_word_give_both(words, probed):
    number = torch.tensor([int(word[1:]) for word in words.words])
    found = probed(torch.nn.functional.one_hot(number, 60).float())
    assert found["pos.task"].mean() > 0.9
    assert found["pos.control"].mean() > 0.9
    assert found["pos.shuffled"].mean() < 0.7


def test_what_is_kept_has_a_place_for_every_seed_and_word(words, probed):
    found = probed(torch.randn(len(words.words), 4, generator=torch.Generator().manual_seed(0)))
    test, train = int((~words.train).sum()), int(words.train.sum())
    shapes = {name: array.shape for name, array in found.items()}
    assert shapes == {
        "pos.task": (3, test), "pos.control": (3, test), "pos.shuffled": (1, test), "deps.task": (3, test),
        "pos.task.bits": (train,), "pos.control.bits": (train,),
    }  # fmt: skip
    assert not any(name.endswith("bits") for name in probed(torch.randn(len(words.words), 4), Plan(1.0, 2, 0, False)))


def test_lost_words_are_left_out(words):
    keep = np.arange(len(words.words)) % 7 != 0
    made = probe_series.problems(words, keep, 0)
    states = torch.randn(int(keep.sum()), 4, generator=torch.Generator().manual_seed(0))
    found = probe_series.probe_layer(states, made, words, keep, PLAN)
    assert found["deps.task"].shape == (3, int((keep & ~words.train).sum()))


def test_seeds_that_begin_where_the_first_ended_end_where_they_would_alone():
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(2, 90, 5, generator=generator)
    x, labels = scale_of(states)(states), torch.randint(0, 3, (2, 90), generator=generator)
    weights = torch.from_numpy(stimuli.folds(np.arange(90), 3, 0)).float()
    together = fit_seeds(x, labels, weights, n_classes=3, c=0.1)
    assert together.weights.shape == (2, 6, 3, 5)
    for seed in range(3):
        alone = fit(x, labels, n_classes=3, c=0.1, weights=weights[seed : seed + 1].expand(2, -1))
        assert torch.allclose(together.weights[:, 2 * seed : 2 * seed + 2], alone.weights, atol=2e-3)
