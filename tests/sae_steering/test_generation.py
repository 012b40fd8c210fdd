"""The loop against transformers' own, and against passes without a cache."""

import pytest
import torch
from dictionaries import tiny
from dictionaries.test_sae import make

from replications.dictionaries.stream import Site, at_site
from replications.sae_steering import generation
from replications.sae_steering.steer import Steering, add, clamp, none
from replications.sae_steering.texts import padded

SITE = Site("resid_pre", 1)
CONTEXTS = [[5, 6, 7, 8], [9, 10], [5, 6, 7, 8], [11, 12, 13]]
T = 6


def dictionary():
    return make("batch_topk", d=tiny.D, h=40)


def uniform(n=4):
    return torch.rand(n, T, generator=torch.Generator().manual_seed(0))


def generate(contexts=CONTEXTS, temperature=0.0, steering=None, draws=None, banned=()):
    draws = uniform(len(contexts)) if draws is None else draws
    return generation.generate(tiny.model(), contexts, draws, temperature=temperature, banned=banned, site=SITE,
                               steering=steering)  # fmt: skip


def by_transformers(context):
    out = tiny.model().generate(torch.tensor([context]), attention_mask=torch.ones(1, len(context)).long(),
                                max_new_tokens=T, do_sample=False, pad_token_id=0)  # fmt: skip
    return out[0, len(context) :]


@pytest.mark.parametrize("steering", [None, Steering.of(dictionary(), [none(tiny.D)] * 4)])
def test_without_steering_it_is_greedy_generation_of_transformers(steering):
    found = generate(steering=steering)
    assert torch.equal(found, torch.stack([by_transformers(context) for context in CONTEXTS]))


def slowly(context, push):
    """Greedy, every step a pass over everything, steered from the context's last position on."""
    tokens, one = list(context), Steering.of(dictionary(), [push])
    for _ in range(T):

        def write(x):
            return torch.cat([x[:, : len(context) - 1], one(x[:, len(context) - 1 :])], dim=1)

        with torch.no_grad(), at_site(tiny.model(), SITE, write):
            tokens.append(int(tiny.model()(torch.tensor([tokens])).logits[0, -1].argmax()))
    return tokens[len(context) :]


def test_every_row_is_steered_by_its_own_push():
    pushes = [clamp(dictionary(), 3, 30.0), none(tiny.D), add(torch.ones(tiny.D), 30.0), clamp(dictionary(), 9, 15.0)]
    found = generate(steering=Steering.of(dictionary(), pushes))
    expected = [slowly(context, push) for context, push in zip(CONTEXTS, pushes, strict=True)]
    assert found.tolist() == expected
    assert not torch.equal(found[0], generate()[0])
    assert torch.equal(found[1], generate()[1])


def test_sampling_is_the_draws_and_nothing_else():
    first, second = generate(temperature=1.0), generate(temperature=1.0)
    assert torch.equal(first, second)
    alone = torch.cat([generate([context], 1.0, draws=uniform()[i : i + 1]) for i, context in enumerate(CONTEXTS)])
    assert torch.equal(first, alone)
    assert not torch.equal(first, generate(temperature=1.0, draws=1 - uniform()))


def test_tokens_come_as_often_as_the_model_says():
    logits = torch.tensor([[0.0, 1.0, -torch.inf, 2.0]])
    draws = (torch.arange(4000) + 0.5) / 4000
    found = generation._pick(logits.expand(4000, -1), draws, 0.5)
    share = torch.bincount(found, minlength=4) / 4000
    torch.testing.assert_close(share, (logits[0] / 0.5).softmax(-1), atol=1e-3, rtol=0)


def test_banned_tokens_do_not_come():
    usual = generate()
    assert not (generate(banned=usual.unique().tolist())[..., None] == usual.unique()).any()


def test_reading_is_a_pass_over_the_whole_text():
    texts, probe, groups = generate(temperature=1.0), [20, 21], [[30, 31, 30], [40]]
    found = generation.judge(tiny.model(), CONTEXTS, texts, probe, groups)
    for i, context in enumerate(CONTEXTS):
        tokens = torch.tensor([[*context, *texts[i].tolist(), *probe]])
        with torch.no_grad():
            logs = tiny.model()(tokens).logits[0].log_softmax(-1)
        start = len(context)
        loss = -sum(logs[start + t - 1, texts[i, t]] for t in range(T)) / T
        assert float(found.loss[i]) == pytest.approx(float(loss), rel=1e-4)
        p = logs[-1].exp()
        torch.testing.assert_close(found.topics[i], torch.stack([p[30] + p[31], p[40]]), rtol=1e-3, atol=1e-7)


def test_loss_of_a_text_leaves_out_its_prefix_and_two_tokens():
    texts, prefixes = [[5, 6, 7, 8], [9, 10, 11]], [[], [1, 2, 3]]
    found = generation.text_loss(tiny.model(), prefixes, texts)
    for i, (prefix, text) in enumerate(zip(prefixes, texts, strict=True)):
        row = torch.tensor([[*prefix, *text]])
        with torch.no_grad():
            logs = tiny.model()(row).logits[0].log_softmax(-1)
        at = range(len(prefix) + 2, row.shape[1])
        assert float(found[i]) == pytest.approx(float(-sum(logs[t - 1, row[0, t]] for t in at) / len(at)), rel=1e-4)


def test_steering_changes_the_loss_of_its_row_only():
    rows, texts = [[], []], [[5, 6, 7, 8], [9, 10, 11, 12]]
    steering = Steering.of(dictionary(), [none(tiny.D), clamp(dictionary(), 3, 30.0)])
    clean = generation.text_loss(tiny.model(), rows, texts)
    found = generation.text_loss(tiny.model(), rows, texts, site=SITE, steering=steering)
    assert float(found[0]) == pytest.approx(float(clean[0]), rel=1e-5)
    assert abs(float(found[1] - clean[1])) > 1e-3


def test_padding():
    left, length = padded([[1, 2], [3]])
    right, _ = padded([[1, 2], [3]], right=True)
    assert (left.tolist(), right.tolist(), length.tolist()) == ([[1, 2], [0, 3]], [[1, 2], [3, 0]], [2, 1])
