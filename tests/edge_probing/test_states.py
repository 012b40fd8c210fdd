"""What probes read of a decoder: every layer on one scale, whatever one piece of a sentence does."""

import torch
from edge_probing.planted import activations

from replications.edge_probing.states import States

SENTENCES, WORDS, WIDTH = 40, 6, 16


def stream(sink):
    """Two layers, the second a hundred times larger; the first word of a sentence `sink` times longer still."""
    states = torch.randn(2, SENTENCES * WORDS, WIDTH, generator=torch.Generator().manual_seed(0))
    states[1] *= 100
    states[1, ::WORDS] *= sink
    return activations(states, [WORDS] * SENTENCES), torch.arange(SENTENCES * WORDS)


def test_a_long_first_piece_does_not_shrink_the_others():
    """Scale-free piece by piece, so that a sink changes nothing."""
    (plain, rows), (sunk, _) = stream(1), stream(100)
    read = States([sunk])(rows)
    assert read[1, ::WORDS].norm(dim=-1).mean() > 50 * read[1, 1::WORDS].norm(dim=-1).mean()
    standard = States([sunk], rows)(rows)
    assert torch.allclose(standard, States([plain], rows)(rows), atol=0.02)
    assert torch.allclose(standard.std(dim=1), torch.ones(2, WIDTH), atol=1e-4)


def test_an_encoder_is_read_as_it_is():
    found, rows = stream(1)
    assert torch.equal(States([found])(rows), found.at(rows))
    assert torch.equal(States([found, found])(rows), torch.cat([found.at(rows)] * 2))
