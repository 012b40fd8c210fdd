"""Gaussian noise on the subject: the causal trace equals a hook loop over the same noise."""

import pytest
import torch
from causal import oracle
from tiny_models import DECODERS, ENCODERS, random_pairs, tiny_model

from replications.causal import maps, noise
from replications.causal.stack import Stack


def draw(samples=3, width=6, columns=(1, 2), d=32, scale=0.5):
    return noise.gaussian(samples, width, d, columns, scale, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("architecture", [*DECODERS, *ENCODERS])
def test_a_causal_trace_equals_a_hook_loop(architecture):
    tiny, answer = tiny_model(architecture), 9
    tokens, kinds, added = random_pairs([6], {1})[0][0], {"resid_post": 1, "mlp_out": 2, "attn_out": 2}, draw()
    ours = maps.causal_trace(Stack(tiny.hf_model), torch.tensor(tokens), added, answer, kinds=kinds)
    ranges = {1: [(0, 1), (1, 2), (2, 3)], 2: [(0, 1), (0, 2), (1, 3)]}
    for site, wide in kinds.items():
        cells = [(site, range(*layers), position, None) for layers in ranges[wide] for position in range(6)]
        theirs = oracle.hook_loop(tiny.bridge, tokens, tokens, cells,
                                  lambda logits: logits[:, -1].softmax(-1)[:, answer], noise=added)  # fmt: skip
        torch.testing.assert_close(ours[site].flatten(), theirs.mean(-1), atol=1e-5, rtol=0)
    clean, noised = (oracle.hook_loop(tiny.bridge, tokens, tokens, [("z", [], 0, None)],
                                      lambda logits: logits[:, -1].softmax(-1)[:, answer], noise=some).mean()
                     for some in (None, added))  # fmt: skip
    torch.testing.assert_close(ours["clean"], clean, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours["corrupted"], noised, atol=1e-5, rtol=0)
    assert (clean - noised).abs() > 1e-4  # else nothing was tested


def test_noise_is_one_draw_on_the_subject_alone():
    added = draw(samples=400, d=64)
    assert torch.equal(added, draw(samples=400, d=64))
    assert (added[:, [0, 3, 4, 5]] == 0).all()
    assert added[:, 1:3].std().item() == pytest.approx(0.5, rel=0.02)
    assert not torch.equal(added[0], added[1])
