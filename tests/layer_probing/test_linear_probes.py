"""Batched probes against scikit-learn, one by one, and against what is known of planted data."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from replications.errors import Refusal
from replications.layer_probing import linear_probes
from replications.layer_probing.linear_probes import fit, log_probabilities, predictions, scale_of


def planted(layers=3, n=240, d=12, classes=4, seed=0):
    """Layers in which the label shows more and more, standardised."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (n,), generator=generator)
    centres = torch.randn(classes, d, generator=generator)
    noise = torch.randn(layers, n, d, generator=generator)
    states = noise + torch.linspace(0, 2, layers)[:, None, None] * centres[labels]
    return scale_of(states)(states), labels


@pytest.mark.parametrize("c", [0.01, 1.0])
def test_same_probabilities_as_scikit_learn(c):
    x, labels = planted()
    other = torch.randint(0, 4, (len(labels),), generator=torch.Generator().manual_seed(1))
    rows = torch.stack([labels, other])
    ours = log_probabilities(fit(x, rows, n_classes=4, c=c, tolerance=1e-6), x).exp().numpy()
    for layer in range(len(x)):
        for row, y in enumerate(rows.numpy()):
            theirs = LogisticRegression(C=c, tol=1e-8, max_iter=5000).fit(x[layer].double().numpy(), y)
            assert ours[layer, row] == pytest.approx(theirs.predict_proba(x[layer].double().numpy()), abs=2e-4)


def test_weights_are_sample_weights():
    x, labels = planted(layers=1)
    counts = torch.randint(0, 3, labels.shape, generator=torch.Generator().manual_seed(2)).float()
    ours = fit(x, labels[None], n_classes=4, c=0.1, weights=counts[None], tolerance=1e-6)
    theirs = LogisticRegression(C=0.1, tol=1e-8, max_iter=5000).fit(
        x[0].double().numpy(), labels.numpy(), sample_weight=counts.numpy()
    )
    assert ours.weights[0, 0].numpy() == pytest.approx(theirs.coef_, abs=1e-3)
    repeated = torch.repeat_interleave(torch.arange(len(labels)), counts.long())
    again = fit(x[:, repeated], labels[None, repeated], n_classes=4, c=0.1, tolerance=1e-6)
    assert torch.allclose(ours.weights, again.weights, atol=1e-3)


def test_many_problems_are_what_each_is_alone(monkeypatch):
    x, labels = planted(layers=4)
    rows = torch.stack([labels, labels.flip(0), labels.roll(7)])
    together = fit(x, rows, n_classes=4, c=0.1, tolerance=1e-6)
    monkeypatch.setattr(linear_probes, "CACHE", 1)  # one layer after another
    monkeypatch.setattr(linear_probes, "ROWS", 17)
    for layer in range(len(x)):
        for row in range(len(rows)):
            alone = fit(x[layer : layer + 1], rows[row : row + 1], n_classes=4, c=0.1, tolerance=1e-6)
            assert torch.allclose(together.weights[layer, row], alone.weights[0, 0], atol=1e-3)


def test_converges_to_the_stated_gradient():
    x, labels = planted()
    for tolerance in (1e-3, 1e-5):
        assert fit(x, labels[None], n_classes=4, c=1.0, tolerance=tolerance).gradient.max() <= tolerance


def test_problems_that_begin_where_others_ended_end_where_they_would_alone():
    x, labels = planted()
    rows = torch.stack([labels, labels.flip(0)]).repeat(3, 1)
    seen = torch.rand(rows.shape, generator=torch.Generator().manual_seed(3)) < 0.8
    alone = fit(x, rows, n_classes=4, c=0.1, weights=seen, tolerance=1e-6)
    led = fit(x, rows, n_classes=4, c=0.1, weights=seen, leaders=2, tolerance=1e-6)
    assert torch.allclose(led.weights, alone.weights, atol=1e-3)
    same = fit(x, rows, n_classes=4, c=0.1, leaders=2)
    assert (same.evaluations[:, 2:] == 1).all()  # the leaders have been there already


def test_words_of_weight_zero_are_left_out_whatever_the_blocks(monkeypatch):
    x, labels = planted()
    seen = (torch.arange(240)[None] % 3 != torch.arange(3)[:, None]).float()
    monkeypatch.setattr(linear_probes, "ROWS", 50)  # blocks by the problems that see them
    together = fit(x, labels.repeat(3, 1), n_classes=4, c=0.1, weights=seen, tolerance=1e-6)
    for row in range(3):
        some = seen[row] > 0
        alone = fit(x[:, some], labels[None, some], n_classes=4, c=0.1, tolerance=1e-6)
        assert torch.allclose(together.weights[:, row], alone.weights[:, 0], atol=1e-3)


def test_a_planted_signal_is_found_and_noise_is_not():
    x, labels = planted(layers=3, n=1000)
    train, test = slice(0, 700), slice(700, None)
    probes = fit(x[:, train], labels[None, train], n_classes=4, c=0.1)
    accuracy = (predictions(probes, x[:, test])[:, 0] == labels[test]).float().mean(dim=1)
    assert accuracy[0] < 0.35
    assert accuracy[1] > 0.7
    assert accuracy[2] > 0.95


def test_predictions_are_the_likeliest_classes():
    x, labels = planted()
    probes = fit(x, torch.stack([labels, labels.flip(0)]), n_classes=4, c=0.1)
    assert torch.equal(predictions(probes, x), log_probabilities(probes, x).argmax(dim=-1))
    assert torch.allclose(log_probabilities(probes, x).exp().sum(dim=-1), torch.ones(3, 2, 240))


def test_scale_leaves_a_constant_dimension_finite():
    states = torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(0))
    states[:, :, 1] = 0.1
    scaled = scale_of(states)(states)
    assert torch.allclose(scaled[:, :, 1], torch.zeros(2, 30), atol=1e-6)
    assert torch.allclose(scaled[:, :, 0].std(dim=1, correction=0), torch.ones(2), atol=1e-5)
    fit(scaled, torch.arange(30)[None] % 2, n_classes=2, c=1.0)


def test_states_in_half_precision_give_the_same():
    x, labels = planted()
    half = scale_of(x.half())(x.half())
    assert half.dtype == torch.float32
    a, b = (fit(some, labels[None], n_classes=4, c=0.1) for some in (x, half))
    assert torch.allclose(a.weights, b.weights, atol=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": torch.zeros(1, 5, dtype=torch.long)}, "give one per word"),
        ({"labels": torch.full((1, 240), 4)}, "labels should be 0 to 3"),
        ({"weights": torch.zeros(1, 240)}, "a word that counts"),
        ({"weights": -torch.ones(1, 240)}, "weights should be 0 or more"),
        ({"max_evaluations": 2}, "did not converge in 2 evaluations"),
    ],
)
def test_refusals(change, message):
    x, labels = planted()
    arguments = {"labels": labels[None]} | change
    with pytest.raises(Refusal, match=message):
        fit(x, arguments.pop("labels"), n_classes=4, c=1.0, **arguments)


def test_refuses_states_that_are_not_finite():
    x, labels = planted()
    x[1, 3, 2] = np.nan
    with pytest.raises(Refusal, match="not finite"):
        fit(x, labels[None], n_classes=4, c=1.0)
