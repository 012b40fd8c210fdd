"""A planted feature is found, directions are differences of means, and random features are alike in density."""

import pytest
import torch
from dictionaries import tiny
from dictionaries.test_sae import make

from replications.dictionaries.stream import Site, activations
from replications.errors import Refusal
from replications.sae_steering import directions
from replications.sae_steering.directions import Usage
from replications.sae_steering.texts import bare

SITE = Site("resid_pre", 1)


def used(h, largest=1.0):
    return Usage(torch.full((h,), largest), torch.linspace(0.01, 0.5, h))


def test_the_feature_that_tells_the_sentences_apart_is_chosen():
    own, others = torch.rand(6, 10, generator=torch.Generator().manual_seed(0)), torch.rand(20, 10)
    own[:, 4] = 5
    assert directions.choose(own, others, used(10)) == (4, 1.0)


def test_of_equals_the_one_of_larger_difference_is_chosen_and_the_dead_never():
    own, others = torch.zeros(3, 5), torch.zeros(4, 5)
    own[:, 1], own[:, 2], own[:, 3] = 1, 2, 3
    usage = used(5)
    usage.largest[3] = 0
    assert directions.choose(own, others, usage) == (2, 1.0)
    with pytest.raises(Refusal, match="nothing to clamp"):
        directions.choose(own, others, used(5, largest=0.0))


def test_random_features_are_alive_alike_and_nobody_s():
    usage = used(100)
    usage.largest[50] = 0
    found = directions.matched(usage, 49, {49, 48}, 40, seed=1)
    assert found == directions.matched(usage, 49, {49, 48}, 40, seed=1)
    assert not {48, 49, 50} & set(found)
    assert all(35 <= feature <= 63 for feature in found)
    assert len(set(found)) > 5
    with pytest.raises(Refusal, match="nothing random"):
        directions.matched(used(1), 0, {0}, 2, seed=1)


def test_sentence_means_leave_out_padding_and_the_first_token():
    loaded, dictionary = tiny.loaded(), make("batch_topk", d=tiny.D, h=40)
    texts = ["a longer text", "short"]
    means, features = directions.sentence_means(loaded, SITE, dictionary, texts)
    for i, text in enumerate(texts):
        x = activations(loaded.hf_model, torch.tensor([bare(loaded, text)]), [SITE])[SITE][0, 1:]
        torch.testing.assert_close(means[i], x.mean(0), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(features[i], dictionary.encode(x).mean(0), atol=1e-3, rtol=1e-3)


def test_usage_is_the_largest_and_the_share():
    loaded, dictionary = tiny.loaded(), make("standard", d=tiny.D, h=40)
    tokens = tiny.text().training()
    found = directions.usage(loaded, SITE, dictionary, tokens)
    f = dictionary.encode(activations(loaded.hf_model, tokens, [SITE])[SITE][:, 1:].reshape(-1, tiny.D))
    torch.testing.assert_close(found.largest, f.amax(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.density, (f > 0).float().mean(0), rtol=0, atol=2e-3)
