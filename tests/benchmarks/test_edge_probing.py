"""The series of edge probes of one task, 13 depths at once, against training the depths one by one.

Two peers on the same data, objective, initial values, mini-batches and dropout. `textbook`: a module per depth that
mixes and projects whole sentences and gathers spans, as the published code does, and reads of the same float16 states
the layers that it needs. `alone`: our own program with one probe at a time, which shows what batching gains. The mix of
`textbook` costs more the deeper it goes, all else is the same at every depth, so both are timed on every third depth
and scaled. Sentences are all of one length, so that a peer that pads loses nothing by it. Agreement is the largest
difference in test F1, in points. Floors are the matrix products of projections and classifier: with a label per word
they are most of the work of every program, so that batching cannot gain much there.
"""

import pytest
from benchmarks.goals import SPANS, WORDS
from benchmarks.turns import Peer

LAYERS, WIDTH, LENGTH, STEPS, POINTS = 13, 768, 16, 30, 0.5
TIMED = range(0, LAYERS, 3)
TASKS = {
    WORDS: {"two": False, "every": 1},
    SPANS: {"two": True, "every": LENGTH},
}


@pytest.fixture(scope="module", params=TASKS)
def series(request):
    """Planted states [13, words, 768], and a task with one target per word or one pair per sentence."""
    import torch
    from edge_probing.planted import planted

    from replications.edge_probing import examples, probe
    from replications.edge_probing.states import States
    from replications.edge_probing.training import Rhythm

    options = TASKS[request.param]
    task, states, place = planted(
        4, layers=LAYERS, width=WIDTH, words=LENGTH, sentences=(320, 32, 128), strength=0.8, **options
    )
    data = examples.build(task, states, place, 0)
    shape = probe.Shape(LAYERS, WIDTH, data.sides, len(data.labels))
    rhythm = Rhythm(batch=32, learning_rate=3e-3, mix_factor=1, validate_every=STEPS, max_steps=STEPS)
    table = torch.stack([states.layer(layer) for layer in range(LAYERS)]).half()
    return request.param, data, States([states]), table, shape, rhythm


def ours(series, probes):
    """Test F1 of these probes."""
    from replications.edge_probing import probe, training
    from replications.probing.series import f1

    _, data, states, _, shape, rhythm = series
    fitted = training.train(probes, shape, states, data, rhythm, seed=0)
    layers = probe.allowed(probes, shape)
    return f1(training.counts(fitted.parameters, layers, probes, states, data.test, data.scored).sum(dim=-1))


def peer_of(one):
    """Test F1 of some depths, each by `one(depth)`, and their seconds scaled to all depths."""

    def run(clock, _turn):
        begin = clock()
        scores = [one(depth) for depth in TIMED]
        return scores, (clock() - begin) * LAYERS / len(TIMED)

    return Peer(run, agreement)


def agreement(values, scores):
    difference = max(abs(float(values[depth]) - float(score)) for depth, score in zip(TIMED, scores, strict=True))
    assert difference <= POINTS
    assert max(values) > 50  # or there would be nothing to agree on
    return difference


def one_module(series, depth):
    """Test F1 of one depth, trained the way the published code is laid out."""
    import torch

    from replications.edge_probing import examples, probe, training
    from replications.probing.series import f1

    _, data, _, table, shape, rhythm = series
    first = {name: tensor[0] for name, tensor in probe.initial([probe.Probe(depth, 1)], shape).items()}
    module = module_of(first, depth, data.sides)
    adam = torch.optim.Adam(module.parameters(), lr=rhythm.learning_rate)
    noise = training._Dropout([probe.Probe(depth, 1)], shape.hidden)
    for _, part in zip(range(rhythm.max_steps), training._forever(data.train, rhythm.batch, 0), strict=False):
        batch = examples.collate(part)
        keep = noise.masks([probe.Probe(depth, 1)], batch)[0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            module(*whole(part, table, depth), keep), batch.labels[0]
        )
        adam.zero_grad()
        loss.backward()
        adam.step()
    found = torch.zeros(3)
    with torch.inference_mode():
        for start in range(0, len(data.dev), 32):  # the validation that `ours` makes at the last step
            module(*whole(data.dev[start : start + 32], table, depth), 1)
        for start in range(0, len(data.test), 32):
            part = data.test[start : start + 32]
            said = module(*whole(part, table, depth), 1) > 0
            gold = examples.collate(part).labels[0].bool()
            found += torch.stack([(said & gold).sum(), (said & ~gold).sum(), (~said & gold).sum()])
    return f1(found)


def whole(part, table, depth):
    """States [k+1, B, T, d] of whole sentences, per side their spans [B, N, 2] within them."""
    import torch

    first = torch.tensor([min(int(rows[0]) for rows in example.rows) // LENGTH * LENGTH for example in part])
    spans = []
    for side in range(len(part[0].rows)):
        ends = [(e.rows[side][s[0]] - f, e.rows[side][s[1] - 1] - f + 1)
                for e, f in zip(part, first, strict=True) for s in e.spans[side][e.span_of[side]]]  # fmt: skip
        spans.append(torch.tensor(ends).view(len(part), -1, 2))
    return table[: depth + 1, first[:, None] + torch.arange(LENGTH)].float(), spans


def module_of(first, depth, sides):
    """The probe of Tenney et al. 2019 as modules, with these initial values."""
    import torch
    from torch import nn

    class EdgeProbe(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix, self.gamma = nn.Parameter(first["mix"][: depth + 1].clone()), nn.Parameter(first["gamma"].clone())
            self.projections = nn.ModuleList(
                linear(first[f"projection_{i}"], first[f"projection_bias_{i}"]) for i in range(sides)
            )
            self.attentions = nn.ParameterList(first[f"attention_{i}"].clone() for i in range(sides))
            hidden = len(first["norm"])
            self.hidden, self.norm = linear(first["hidden"], first["hidden_bias"]), nn.LayerNorm(hidden)
            self.output = linear(first["output"], first["output_bias"])

        def forward(self, table, spans, keep):
            weights = torch.softmax(self.mix, dim=0)
            mixed = self.gamma * sum(weight * layer for weight, layer in zip(weights, table, strict=True))
            pooled = [self.pool(side, mixed, ranges) for side, ranges in enumerate(spans)]
            return self.output(self.norm(torch.tanh(self.hidden(torch.cat(pooled, dim=-1)))) * keep)

        def pool(self, side, mixed, ranges):
            projected = self.projections[side](mixed)
            widest = int((ranges[..., 1] - ranges[..., 0]).max())
            places = ranges[..., :1] + torch.arange(widest)
            inside = places < ranges[..., 1:]
            places = places.clamp(max=mixed.shape[1] - 1)
            pieces = projected[torch.arange(len(mixed))[:, None, None], places]  # [B, N, widest, 256]
            attention = (pieces @ self.attentions[side]).masked_fill(~inside, -torch.inf)
            return (torch.softmax(attention, dim=-1)[..., None] * pieces).sum(dim=2).flatten(0, 1)

    def linear(weight, bias):
        made = nn.Linear(*weight.shape)
        with torch.no_grad():
            made.weight.copy_(weight.T)
            made.bias.copy_(bias)
        return made

    return EdgeProbe()


def test_thirteen_depths_at_once(series, compare):
    from replications.edge_probing.probe import Probe

    name, data, _, _, shape, rhythm = series
    probes = [Probe(depth, 1) for depth in range(LAYERS)]
    batches = STEPS * rhythm.batch / len(data.train)
    pieces = sum(len(rows) for example in data.train for rows in example.rows) * batches
    targets = sum(example.targets for example in data.train) * batches
    per_piece, per_target = shape.width * shape.hidden, data.sides * shape.hidden**2
    flop = 2 * 3 * LAYERS * (pieces * per_piece + targets * per_target)  # forward, by weights, by inputs
    note = f"{STEPS} steps of {rhythm.batch} sentences of {LENGTH} words, {targets / STEPS:.0f} targets a step"
    peers = {
        "depths one by one, textbook": peer_of(lambda depth: one_module(series, depth)),
        "depths one by one, the same program": peer_of(lambda depth: ours(series, [Probe(depth, 1)])[0]),
    }
    ours(series, probes)  # warms up
    compare(name, lambda: ours(series, probes), peers, flop, 3, note)
