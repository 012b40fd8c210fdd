import pytest
import torch

from replications.dictionaries import selectivity
from replications.toy_sae import article
from replications.toy_sae.ground_truth import codes

DRAWS = {"resamples": 50, "seed": 0}


def test_the_planted_neuron_answers_to_three_words_and_nothing_else():
    truth = article.planted(0)
    assert torch.allclose(truth.features.norm(dim=1), torch.ones(article.G))
    strengths = codes(truth, 4096, "test")
    neuron = selectivity.responses((strengths @ truth.features)[:, [article.NEURON]].relu(), strengths > 0)
    assert set(neuron[0].topk(3).indices.tolist()) == {0, 1, 2}
    assert selectivity.concepts(neuron).item() == pytest.approx(3, abs=0.3)


def test_the_truth_as_a_dictionary_has_a_feature_for_each_word():
    truth = article.planted(0)
    rows = torch.linalg.pinv(truth.features).T * 20  # sharp enough that a unit hardly sees the other features
    toy = article.observe(truth, rows, torch.zeros(article.G), truth.features)
    assert toy.answers.all()
    assert toy.cosine.tolist() == pytest.approx([1, 1, 1])
    tree = article.quantities([toy, toy], DRAWS)
    assert tree["answered"]["value"] == 3
    assert tree["neuron"]["words"]["value"] == 1
    assert tree["least_selective"]["value"] > article.control([toy, toy], DRAWS)["least_selective"]["value"]


def test_the_unit_of_a_word_has_it_as_its_strongest_concept():
    response = torch.tensor([[5.0, 6, 0, 0], [4, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0.5, 2]])
    own, answers = article.for_words(response)
    assert own.tolist() == [1, 0, 3]
    assert answers.tolist() == [True, True, False]
