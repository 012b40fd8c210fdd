"""All probes of a model at once against scikit-learn's loop: same states, same objective, same tolerance, same run.

The states are a trained encoder's on sentences of Project Gutenberg, the labels those of a random linear rule with
noise over 17 classes in the proportions of parts of speech: timing needs no treebank. scikit-learn gets the same
single-precision arrays and the default tolerance, and for every seed only the words that the seed sees. Accuracies on
held-out words must agree within half a point at every layer before a time is recorded. Nothing is asserted about speed.
"""

import numpy as np
import pytest
from benchmarks.goals import PROBES, SERIES
from benchmarks.turns import Peer

MODEL = "minilm-l6"
WORDS, HELD_OUT, CLASSES, SEEDS, C = 4000, 2000, 17, 5, 0.01  # C and seeds are those of the room
HALF_A_POINT = 0.005
NOTE = "7 layers, 4000 words, 17 classes; {} probes"

pytestmark = [pytest.mark.model]


@pytest.fixture(scope="module")
def data():
    """x, held-out [layers, words, d], standardised; labels of a task and of its control task; weights of the seeds."""
    import torch

    from replications.layer_probing.linear_probes import scale_of
    from replications.layer_probing.stimuli import folds
    from replications.models.load import load_model
    from replications.probing.activations import extract

    sentences = plain_sentences(WORDS + HELD_OUT)
    found = extract(load_model(MODEL), sentences, pooling="last")
    states = torch.stack([found.layer(layer) for layer in range(found.n_layers)])[:, : WORDS + HELD_OUT]
    words = [word.lower() for sentence in sentences for word in sentence][: WORDS + HELD_OUT]
    scale = scale_of(states[:, :WORDS])
    labels = torch.from_numpy(np.stack([tags(states), by_type(words, tags(states))]))
    weights = torch.from_numpy(folds(np.arange(WORDS) // 16, SEEDS, 0)).float()
    return scale(states[:, :WORDS]), scale(states[:, WORDS:]), labels, weights


def plain_sentences(words):
    """Sentences of 16 words of a novel, so many that they hold `words` words."""
    from replications.catalogue import datasets

    text = datasets.read_text(datasets.fetch("gutenberg")["austen-emma.txt"])
    running = "".join(c if c.isalpha() or c.isspace() else " " for c in text).split()[500 : 500 + words + 16]
    return [running[start : start + 16] for start in range(0, words, 16)]


def tags(states):
    """A class per word by a noisy linear rule on a middle layer, with a few common classes and many rare ones."""
    draw = np.random.default_rng(0)
    middle = states[len(states) // 2].numpy()
    middle = (middle - middle.mean(0)) / middle.std(0)
    scores = middle @ draw.normal(size=(middle.shape[1], CLASSES)) / 4 + draw.gumbel(size=(len(middle), CLASSES))
    return (scores + np.linspace(4, -4, CLASSES)).argmax(axis=1)


def by_type(words, labels):
    from replications.layer_probing.control_tasks import control_labels, word_types

    return control_labels(word_types(words), labels, np.arange(len(words)) < WORDS, seed=0)


def loop_of(data, problems):
    """One LogisticRegression after another: accuracies [layers, problems] on held-out words, and seconds of fitting.

    `problems` are (seed or None, row of the labels); None is a seed that sees all words.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    x, held_out, labels, weights = ([*part.numpy()] if part.ndim == 3 else part.numpy() for part in data)

    def run(clock, _turn):
        import torch

        with threadpool_limits(torch.get_num_threads()):
            found, seconds = np.empty((len(x), len(problems))), 0.0
            for place, (seed, row) in enumerate(problems):
                seen = slice(None) if seed is None else weights[seed] > 0
                for layer, states in enumerate(x):
                    some, answers = states[seen], labels[row][:WORDS][seen]
                    begin = clock()
                    probe = LogisticRegression(C=C, max_iter=1000).fit(some, answers)
                    seconds += clock() - begin
                    found[layer, place] = (probe.predict(held_out[layer]) == labels[row][WORDS:]).mean()
        return found, seconds

    return Peer(run, agreement)


def agreement(values, found):
    difference = float(np.abs(values - found).max())
    assert difference <= HALF_A_POINT
    return difference


def accuracies(probes, held_out, labels):
    """[layers, problems] on held-out words; `labels` [problems, words]."""
    from replications.layer_probing.linear_probes import predictions

    return (predictions(probes, held_out) == labels).double().mean(dim=-1).numpy()


def flop(layers, d, probes, evaluations=1):
    """Of the two matrix products of so many evaluations: what any method pays that looks at every word once."""
    return 4 * layers * WORDS * d * CLASSES * probes * evaluations


def test_one_series_over_the_layers(compare, data):
    from replications.layer_probing.linear_probes import fit

    x, held_out, labels, _ = data
    fitted = []

    def ours():
        fitted[:] = [fit(x, labels[:1, :WORDS], n_classes=CLASSES, c=C)]
        return accuracies(fitted[0], held_out, labels[:1, WORDS:])

    ours()
    cost = flop(len(x), x.shape[2], 1, fitted[0].evaluations.double().mean().item())
    compare(PROBES, ours, {"scikit-learn": loop_of(data, [(None, 0)])}, flop=cost, rounds=3,
            note=NOTE.format(7))  # fmt: skip


def test_five_seeds_and_a_control_task(compare, data):
    from replications.layer_probing.probe_series import fit_seeds

    x, held_out, labels, weights = data
    fitted = []

    def ours():
        fitted[:] = [fit_seeds(x, labels[:, :WORDS], weights, n_classes=CLASSES, c=C)]
        return accuracies(fitted[0], held_out, labels[:, WORDS:].repeat(SEEDS, 1))

    ours()
    problems = [(seed, row) for seed in range(SEEDS) for row in range(len(labels))]
    cost = flop(len(x), x.shape[2], len(problems), fitted[0].evaluations.double().mean().item())
    compare(SERIES, ours, {"scikit-learn": loop_of(data, problems)}, flop=cost, rounds=3,
            note=NOTE.format(7 * len(problems)))  # fmt: skip
