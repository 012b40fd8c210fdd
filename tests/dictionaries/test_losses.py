"""Replacing an activation: by itself nothing changes, by zero it is TransformerLens' ablation."""

import pytest
import torch
from tiny_models import VOCABULARY, tiny_model
from torch.nn.functional import cross_entropy

from replications.dictionaries import losses
from replications.dictionaries.stream import Site

SITES = [Site("resid_pre", 1), Site("mlp_out", 1), Site("mlp_post", 1)]


def tokens():
    return torch.randint(3, VOCABULARY, (5, 8), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("site", SITES, ids=str)
def test_an_activation_in_its_own_place_changes_nothing(site):
    model = tiny_model("llama").hf_model
    clean = losses.window_losses(model, tokens())
    assert losses.window_losses(model, tokens(), site, lambda x: x) == pytest.approx(clean, abs=1e-5)
    assert abs(losses.window_losses(model, tokens(), site, losses.zero) - clean).max() > 1e-3


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2"])
def test_ablation_is_that_of_the_hooks(architecture):
    model, ids, mean = tiny_model(architecture), tokens(), torch.linspace(-1, 1, 32)

    def ablate(value, hook):
        value[:, 1:] = mean
        return value

    with torch.inference_mode():
        logits = model.bridge.run_with_hooks(ids, fwd_hooks=[("blocks.1.hook_resid_pre", ablate)])
    expected = [cross_entropy(row[1:-1], its[2:]).item() for row, its in zip(logits, ids, strict=True)]
    found = losses.window_losses(model.hf_model, ids, SITES[0], losses.constant(mean))
    assert found == pytest.approx(expected, abs=1e-4)


def test_the_first_position_and_what_it_predicts_stay_out():
    model, ids = tiny_model("llama").hf_model, tokens()
    seen = []

    def look(x):
        seen.append(len(x))
        return x

    losses.window_losses(model, ids, SITES[0], look, batch=5)
    assert seen == [5 * 7]
