import pytest
import torch

from replications.dictionaries.checkpoints import Checkpoints
from replications.toy_sae import training
from replications.toy_sae.ground_truth import GroundTruth, make_truth
from replications.toy_sae.training import Recipe, train

TRUTH, RECIPE, ALPHAS = make_truth(24, 12, 0), Recipe(steps=30, batch=32, lr=0.01), (0.1, 1.0)


def test_a_killed_training_resumes_bit_exactly(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path / "toy", "one")
    whole = train(TRUTH, [20, 28], ALPHAS, RECIPE, seed=0)
    drawn = []

    def killed(truth, batch, number):
        if number == 17:
            raise KeyboardInterrupt
        return activations(truth, batch, number)

    activations = training.activations
    monkeypatch.setattr(training, "activations", killed)
    with pytest.raises(KeyboardInterrupt):
        train(TRUTH, [20, 28], ALPHAS, RECIPE, seed=0, checkpoints=checkpoints, every=5)
    monkeypatch.setattr(training, "activations", lambda *args: drawn.append(args[2]) or activations(*args))
    again = train(TRUTH, [20, 28], ALPHAS, RECIPE, seed=0, checkpoints=checkpoints, every=5)
    assert drawn == list(range(15, 30))
    assert all(torch.equal(again[h][name], whole[h][name]) for h in (20, 28) for name in whole[h])
    assert not checkpoints.folder.exists()


def test_features_of_an_easy_toy_are_recovered():
    from replications.toy_sae.recovery import cosines

    made = make_truth(16, 12, 0)
    easy = GroundTruth(made.features, torch.full((16,), 0.1), None, 0)
    weights = train(easy, [32], [0.5], Recipe(steps=1500, batch=128, lr=0.01), seed=0)[32]
    assert cosines(easy, weights["W_dec"][0]).mean() > 0.95


def test_rate_falls_over_the_second_half():
    rates = [RECIPE.rate(step) for step in range(30)]
    assert rates[:16] == [0.01] * 16
    assert rates[16:] == sorted(rates[16:], reverse=True)
