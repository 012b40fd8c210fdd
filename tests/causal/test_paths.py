"""Path patching equals the plain hooks of its definition: freeze every head, change one, recompute the MLPs."""

from functools import partial

import pytest
import torch
from causal.oracle import TOLERANCE, diff_at
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import DECODERS, random_pairs, tiny_model

from replications.causal import metrics, paths
from replications.causal.patching import batch_pairs
from replications.causal.paths import Receivers
from replications.causal.runs import run
from replications.causal.stack import Stack

SENDERS = [(layer, head) for layer in range(3) for head in (0, 1, 3)]


def hooked(bridge, base, own, other, sender, metric, receivers=None):
    """Wang et al.'s algorithm, one forward pass for the path and, with receivers, one more for its effect.

    `own` and `other` are what the base and the source run have cached.
    """
    z, layers = "blocks.{}.attn.hook_z", range(bridge.cfg.n_layers)
    tokens, read = torch.tensor([base]), {}

    def freeze(x, hook, layer):
        x = own[z.format(layer)].clone()
        if layer == sender[0]:
            x[:, :, sender[1]] = other[z.format(layer)][:, :, sender[1]]
        return x

    def put(x, hook, layer):
        x = x.clone()
        for head in (head for at, head in receivers.heads if at == layer):
            x[:, receivers.columns, head] = read[layer][:, receivers.columns, head]
        return x

    frozen = [(z.format(layer), partial(freeze, layer=layer)) for layer in layers]
    if receivers is None:
        return metric(bridge.run_with_hooks(tokens, fwd_hooks=frozen))
    name = "blocks.{}.attn.hook_" + receivers.site
    listen = [(name.format(layer), lambda x, hook, layer=layer: read.update({layer: x.clone()})) for layer in layers]
    bridge.run_with_hooks(tokens, fwd_hooks=frozen + listen)
    changed = [(name.format(layer), partial(put, layer=layer)) for layer in layers]
    return metric(bridge.run_with_hooks(tokens, fwd_hooks=changed))


def assert_equals_the_hooks(architecture, pairs, receivers=None, budget=1 << 32):
    tiny, (clean, corrupted, answers) = tiny_model(architecture), pairs
    stack, batch, metric = Stack(tiny.hf_model), batch_pairs(*pairs), metrics.logit_diff(torch.tensor(answers))
    base = run(stack, batch.clean, batch.clean_mask, sites=["z", "q"])
    source = run(stack, batch.corrupted, batch.corrupted_mask, sites=["z"])
    options = {"metric": metric, "budget": budget}
    if receivers is None:
        ours = paths.to_logits(stack, base, source, SENDERS, **options)
    else:
        ours = paths.to_receivers(stack, base, source, SENDERS, receivers, **options)
    with torch.inference_mode():
        for i, (a, b, answer) in enumerate(zip(clean, corrupted, answers, strict=True)):
            shift = batch.width - len(a)  # columns count from the left of the padded batch
            here = receivers and Receivers(receivers.site, receivers.heads, [c - shift for c in receivers.columns])
            caches = [tiny.bridge.run_with_cache(torch.tensor([ids]))[1] for ids in (a, b)]
            for j, sender in enumerate(SENDERS):
                theirs = hooked(tiny.bridge, a, *caches, sender, diff_at(answer), here)
                torch.testing.assert_close(ours[j, i : i + 1], theirs, atol=TOLERANCE, rtol=0)
    return ours


@pytest.mark.parametrize("architecture", DECODERS)
def test_heads_to_logits(architecture):
    effects = assert_equals_the_hooks(architecture, random_pairs([7, 5], {3, 1}))
    assert effects.std(dim=0).min() > 1e-3  # senders differ


@pytest.mark.parametrize("site", ["q", "k", "v"])
@pytest.mark.parametrize("architecture", DECODERS)
def test_heads_to_receivers(architecture, site):
    heads = [(2, 0), (2, 1), (1, 1)] if site != "q" else [(2, 3), (2, 0), (1, 2)]
    columns = [6] if site == "q" else [4, 5]
    effects = assert_equals_the_hooks(architecture, random_pairs([7, 5], {3, 1}), Receivers(site, heads, columns))
    assert effects.std(dim=0).max() > 1e-3


@settings(max_examples=6, deadline=None)
@given(st.sampled_from(DECODERS), st.integers(3, 9), st.sampled_from("qkv"), st.integers(1, 1 << 20), st.data())
def test_any_length_receivers_and_budget(architecture, length, site, budget, data):
    columns = sorted(data.draw(st.sets(st.integers(0, length - 1), min_size=1)))
    heads = data.draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=3, unique=True))
    changed = data.draw(st.sets(st.integers(1, length), min_size=1))
    assert_equals_the_hooks(architecture, random_pairs([length], changed), Receivers(site, heads, columns), budget)


def test_runs_that_did_not_keep_the_heads_are_refused():
    stack = Stack(tiny_model("gpt2").hf_model)
    base = run(stack, torch.tensor([[3, 4]]))
    with pytest.raises(ValueError, match="sites="):
        paths.to_logits(stack, base, base, SENDERS, metrics.logit_diff(torch.tensor([[5, 6]])))
