"""Many probes at once are what each would be alone; the schedule is the authors'; what is planted is found."""

import pytest
import torch
from edge_probing.planted import planted
from hypothesis import given, settings
from hypothesis import strategies as st

from replications.edge_probing import examples as ex
from replications.edge_probing import probe as pr
from replications.edge_probing import training
from replications.edge_probing.probe import Probe, Shape
from replications.edge_probing.states import States
from replications.edge_probing.training import Rhythm
from replications.probing import series

LAYERS = 4
QUICK = Rhythm(batch=16, learning_rate=1e-2, mix_factor=1, validate_every=5, max_steps=120)


def made(appears=2, **options):
    task, acts, place = planted(appears, layers=LAYERS, **options)
    data = ex.build(task, acts, place, 0)
    return data, States([acts]), Shape(LAYERS, acts.width, data.sides, len(data.labels), hidden=16)


def test_a_batch_of_probes_trains_as_each_alone(monkeypatch):
    """Same trajectory to 1e-5, also when probes leave the batch at different times."""
    monkeypatch.setattr(training, "STOP_AFTER", 3)
    data, states, shape = made(two=True, sentences=(60, 20, 20))
    probes = [Probe(0, 1), Probe(3, 1), Probe(3, 2), Probe(2, 1, shuffled=True)]
    rhythm = Rhythm(batch=16, learning_rate=1e-2, mix_factor=1, validate_every=5, max_steps=60)
    together = training.train(probes, shape, states, data, rhythm, seed=0)
    assert len(set(together.steps.tolist())) > 1
    for row, one in enumerate(probes):
        alone = training.train([one], shape, states, data, rhythm, seed=0)
        assert (alone.steps[0], alone.dev[0]) == (together.steps[row], together.dev[row])
        for name, tensor in alone.parameters.items():
            assert torch.allclose(tensor[0], together.parameters[name][row], atol=1e-5), name


@pytest.mark.parametrize("factor", [1, 30])
def test_one_probe_is_plain_adam_on_its_own_loss(factor):
    data, states, shape = made(sentences=(32, 8, 8))
    probes, layers = [Probe(3, 1)], pr.allowed([Probe(3, 1)], shape)
    rhythm = Rhythm(batch=16, learning_rate=1e-2, mix_factor=factor, validate_every=4, max_steps=4)
    got = training.train(probes, shape, states, data, rhythm, seed=7)
    p = {name: tensor.requires_grad_() for name, tensor in pr.initial(probes, shape).items()}
    mix, rest = ([tensor for name, tensor in p.items() if (name == training.MIX) == own] for own in (True, False))
    adam = torch.optim.Adam([{"params": mix, "lr": factor * 1e-2}, {"params": rest}], lr=1e-2)
    noise = training._Dropout(probes, shape.hidden)
    order = training._forever(data.train, 16, 7)
    for _ in range(4):
        batch = ex.collate(next(order))
        logits = pr.forward(p, layers, batch, [states(side.rows) for side in batch.sides], noise.masks(probes, batch))
        adam.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(logits[0], batch.labels[0]).backward()
        adam.step()
    for name, tensor in p.items():
        assert torch.allclose(tensor, got.parameters[name], atol=1e-6), name


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.integers(0, 30), min_size=2, max_size=2), min_size=60, max_size=60))
def test_rates_halve_after_five_validations_without_gain_and_training_ends_after_twenty(scores):
    course, alive, best, bad, since, rate = (
        training._Course.start(2, 1e-4),
        torch.arange(2),
        [-1] * 2,
        [0] * 2,
        [0] * 2,
        [1e-4] * 2,
    )
    for step, pair in enumerate(scores):
        gained, goes_on = course.after(alive, torch.tensor(pair, dtype=torch.float32)[alive], step)
        for place, row in enumerate(alive.tolist()):
            better = pair[row] > best[row]
            best[row] = max(best[row], pair[row])
            bad[row], since[row] = (0, 0) if better else (bad[row] + 1, since[row] + 1)
            if since[row] == 5:
                rate[row], since[row] = rate[row] / 2, 0
            assert bool(gained[place]) == better
            assert float(course.rate[row]) == pytest.approx(rate[row])
            assert bool(goes_on[place]) == (bad[row] < 20 and rate[row] >= 1e-6)
        alive = alive[goes_on]
        if not len(alive):
            break


@pytest.mark.parametrize(("appears", "two"), [(1, False), (3, False), (2, True)])
def test_the_expected_layer_is_where_the_information_appears(appears, two):
    data, states, shape = made(appears, two=two)
    probes = [Probe(depth, 1) for depth in range(LAYERS)]
    fitted = training.train(probes, shape, states, data, QUICK, seed=0)
    found = training.counts(fitted.parameters, pr.allowed(probes, shape), probes, states, data.test, data.scored)
    curve = series.f1(found.sum(dim=-1)).numpy()
    assert curve[-1] > 85
    assert series.expected_layer(curve) == pytest.approx(appears, abs=0.3)
    assert series.gain_bits(curve) == pytest.approx(1.585, abs=0.4)  # all of the gain at one layer of three: log2(3)


def test_shuffled_labels_are_not_learnt():
    data, states, shape = made(0)
    probes = [Probe(3, 1), Probe(3, 1, shuffled=True)]
    fitted = training.train(probes, shape, states, data, QUICK, seed=0)
    found = training.counts(fitted.parameters, pr.allowed(probes, shape), probes, states, data.test, data.scored)
    real, dealt = series.f1(found.sum(dim=-1)).tolist()
    assert real > 85
    assert dealt < 45


def test_counts_per_sentence_against_a_loop_and_only_scored_labels_count():
    data, states, shape = made(1, sentences=(20, 10, 10))
    probes = [Probe(1, 1), Probe(3, 2)]
    layers, scored = pr.allowed(probes, shape), torch.tensor([True, False, True, True])
    p = pr.initial(probes, shape)
    p = {
        name: tensor + 0.5 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1))
        for name, tensor in p.items()
    }
    found = training.counts(p, layers, probes, states, data.test, scored)
    for number, example in enumerate(data.test):
        batch = ex.collate([example])
        said = pr.forward(p, layers, batch, [states(side.rows) for side in batch.sides], None) > 0
        for row in range(2):
            pairs = [(bool(a), bool(b)) for target in range(example.targets) for a, b, counts
                     in zip(said[row, target], example.labels[0, target], scored, strict=True) if counts]  # fmt: skip
            wanted = [pairs.count(pair) for pair in ((True, True), (True, False), (False, True))]
            assert found[:, row, number].tolist() == wanted


def test_f1_of_nothing_is_nothing():
    assert series.f1(torch.tensor([[0.0, 3.0], [0.0, 1.0], [0.0, 1.0]])).tolist() == [0.0, 75.0]
