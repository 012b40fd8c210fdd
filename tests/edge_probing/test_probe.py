"""The batched probe against the paper's equations, one target of one probe at a time."""

import pytest
import torch

from replications.edge_probing import examples as ex
from replications.edge_probing import probe as pr
from replications.edge_probing.examples import Example
from replications.edge_probing.probe import Probe, Shape

LAYERS, WIDTH = 4, 8
SPANS = [[[(0, 1), (1, 4), (0, 1)], [(2, 3)]], [[(0, 3), (3, 4), (3, 4)], [(1, 2)]]]  # side, sentence, target
PIECES = (5, 3)


def two_sentences(sides):
    generator = torch.Generator().manual_seed(0)
    made = []
    for number, pieces in enumerate(PIECES):
        targets = [torch.tensor(SPANS[side][number]).unique(dim=0, return_inverse=True) for side in range(sides)]
        rows = tuple(torch.arange(pieces) + 10 * number for _ in range(sides))
        labels = torch.randint(2, (2, len(SPANS[0][number]), 3), generator=generator) > 0
        made.append(Example(rows, *zip(*targets, strict=True), labels))
    return made


def by_hand(p, row, seen, states, spans):
    """Logits of one target: p's row, the layers it sees, per side states [K, pieces, d], per side its span."""
    s = torch.softmax(p["mix"][row][seen], dim=0)
    pooled = []
    for side, (start, end) in enumerate(spans):
        h = p["gamma"][row] * sum(s[i] * states[side][k] for i, k in enumerate(seen))
        z = h[start:end] @ p[f"projection_{side}"][row] + p[f"projection_bias_{side}"][row]
        pooled.append(torch.softmax(z @ p[f"attention_{side}"][row], dim=0) @ z)
    hidden = torch.tanh(torch.cat(pooled) @ p["hidden"][row] + p["hidden_bias"][row])
    normed = (hidden - hidden.mean()) / (hidden.var(unbiased=False) + 1e-5).sqrt()
    return (normed * p["norm"][row] + p["norm_bias"][row]) @ p["output"][row] + p["output_bias"][row]


@pytest.mark.parametrize("sides", [1, 2])
def test_batched_logits_are_those_by_hand(sides):
    probes = [Probe(0, 1), Probe(2, 1), Probe(3, 2), Probe(1, 1, source=1)]
    shape = Shape(LAYERS, WIDTH, sides, 3, sources=2, hidden=6)
    generator = torch.Generator().manual_seed(3)
    p = {name: tensor + 0.3 * torch.randn(tensor.shape, generator=generator)
         for name, tensor in pr.initial(probes, shape).items()}  # fmt: skip
    table = torch.randn(2 * LAYERS, 20, WIDTH, generator=generator)
    examples = two_sentences(sides)
    batch = ex.collate(examples)
    got = pr.forward(p, pr.allowed(probes, shape), batch, [table[:, side.rows] for side in batch.sides], None)
    for row, seen in enumerate([[0], [0, 1, 2], [0, 1, 2, 3], [4, 5]]):
        wanted = [
            by_hand(p, row, seen, [table[:, rows] for rows in e.rows], spans)
            for number, e in enumerate(examples)
            for spans in zip(*(SPANS[side][number] for side in range(sides)), strict=True)
        ]
        assert torch.allclose(got[row], torch.stack(wanted), atol=1e-5)


def test_probes_of_a_seed_start_alike_and_see_only_their_layers():
    shape = Shape(LAYERS, WIDTH, 1, 3, sources=2, hidden=6)
    probes = [Probe(0, 5), Probe(3, 5), Probe(3, 6), Probe(1, 5, source=1)]
    p = pr.initial(probes, shape)
    assert torch.equal(p["projection_0"][0], p["projection_0"][1])
    assert not torch.equal(p["projection_0"][1], p["projection_0"][2])
    mix = pr.mixing(p, pr.allowed(probes, shape))
    assert mix[0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    assert mix[1].tolist() == pytest.approx([0.25] * 4 + [0] * 4, rel=1e-6)
    assert mix[3].tolist() == pytest.approx([0] * 4 + [0.5, 0.5, 0, 0], rel=1e-6)


def test_the_loss_is_the_mean_binary_cross_entropy_of_each_probe():
    logits, labels = torch.randn(2, 5, 3), torch.randint(2, (2, 5, 3)).float()
    wanted = [torch.nn.BCEWithLogitsLoss()(logits[i], labels[i]) for i in range(2)]
    assert torch.allclose(pr.loss(logits, labels), torch.stack(wanted))
