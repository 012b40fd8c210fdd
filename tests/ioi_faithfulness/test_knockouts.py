"""Knock-outs equal plain hooks with means taken by hand, and behave as their definition says at both ends."""

import numpy as np
import pytest
import torch

from replications.causal.stack import Stack
from replications.ioi_faithfulness import knockouts
from replications.ioi_faithfulness.circuits import ROLES

DECODERS = ("llama", "gemma3", "gpt2")


def cached(bridge, ids, site):
    with torch.inference_mode():
        _, cache = bridge.run_with_cache(torch.tensor([ids]))
    return torch.stack([cache[f"blocks.{layer}.{site}"][0] for layer in range(bridge.cfg.n_layers)])


def mean_by_hand(at, prompt, site, size=None):
    """Mean over the twins of the prompt's template and order, [layer, position, ...]."""
    alike = [p for p in at.twins if (p.template, p.order) == (prompt.template, prompt.order)][:size]
    return torch.stack([cached(at.tiny.bridge, p.abc_ids, site) for p in alike]).mean(0)


def position(prompt, role):
    return {"IO": prompt.io_at, "S1": prompt.s1_at, "S1+1": prompt.s1_at + 1, "S2": prompt.s2_at,
            "END": len(prompt.ids) - 1}[role]  # fmt: skip


def by_hooks(at, prompt, hooks):
    with torch.inference_mode():
        last = at.tiny.bridge.run_with_hooks(torch.tensor([prompt.ids]), fwd_hooks=hooks)[0, -1]
    return (last[prompt.io_id] - last[prompt.s_id]).item()


def circuit_by_hooks(at, prompt, nodes, means):
    """Everything but these nodes replaced by its mean, head by head and position by position."""
    kept = {(layer, head, position(prompt, role)) for layer, head, role in nodes}

    def replace(z, hook):
        layer, z = int(hook.name.split(".")[1]), z.clone()
        for where in range(z.shape[1]):
            for head in range(z.shape[2]):
                if (layer, head, where) not in kept:
                    z[0, where, head] = means[layer, where, head]
        return z

    layers = range(at.tiny.bridge.cfg.n_layers)
    return by_hooks(at, prompt, [(f"blocks.{layer}.attn.hook_z", replace) for layer in layers])


@pytest.mark.parametrize("architecture", DECODERS)
def test_a_circuit_equals_a_hook_loop(helpers, architecture):
    at = helpers.setting(architecture, n=4)
    ours = at.bench.read(at.bench.only(at.circuit.nodes))
    theirs = [circuit_by_hooks(at, p, at.circuit.nodes, mean_by_hand(at, p, "attn.hook_z")) for p in at.prompts]
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert np.abs(ours - at.bench.read(at.bench.model)).min() > 1e-3


def test_averages_are_over_the_twins_of_the_same_template_and_order(helpers):
    at = helpers.setting(n=4)
    found = knockouts.run_twins(at.stack, at.prompts, at.twins, "cpu")
    for i, prompt in enumerate(at.prompts):
        ours = {way: torch.stack([layer[i, -len(prompt.ids) :] for layer in found.z[way]]) for way in found.z}
        theirs = {
            "mean": mean_by_hand(at, prompt, "attn.hook_z"), "mean_of_two": mean_by_hand(at, prompt, "attn.hook_z", 2),
            "own": cached(at.tiny.bridge, prompt.abc_ids, "attn.hook_z"),
        }  # fmt: skip
        for way in found.z:
            torch.testing.assert_close(ours[way], theirs[way], atol=1e-4, rtol=0)
        mlp = torch.stack([layer[i, -len(prompt.ids) :] for layer in found.mlp])
        torch.testing.assert_close(mlp, mean_by_hand(at, prompt, "hook_mlp_out"), atol=1e-4, rtol=0)
        with torch.inference_mode():
            last = at.tiny.bridge(torch.tensor([prompt.abc_ids]))[0, -1]
        expected = (last[prompt.io_id] - last[prompt.s_id]).item()
        assert at.setup.twin_logit_diffs[i] == pytest.approx(expected, abs=1e-4)


def test_keeping_every_head_everywhere_is_the_model(helpers):
    at = helpers.setting()
    heads = [(layer, head) for layer in range(3) for head in range(4)]
    model = at.bench.read(at.bench.model)
    np.testing.assert_allclose(at.bench.logit_diffs([~at.bench.everywhere(heads)])[0], model, atol=1e-6)
    np.testing.assert_allclose(at.bench.logit_diffs([at.bench.mask([])])[0], model, atol=1e-6)
    everywhere = at.bench.only([(*head, role) for head in heads for role in ROLES])
    assert np.abs(at.bench.read(everywhere) - model).max() > 1e-3  # the other positions are out


def test_the_same_from_the_model_and_from_the_circuit(helpers):
    at = helpers.setting()
    fewer = at.circuit.nodes_of(at.circuit.heads[2:])
    base = at.bench.only(at.circuit.nodes)
    found = [at.bench.logit_diffs([~at.bench.mask(fewer)], base=each)[0] for each in (at.bench.model, base)]
    np.testing.assert_allclose(*found, atol=1e-5)


def test_the_order_of_nodes_is_irrelevant_and_rows_are_rows(helpers):
    at = helpers.setting()
    nodes = at.circuit.nodes
    masks = at.bench.mask(nodes), at.bench.mask(nodes[::-1])
    assert torch.equal(*masks)
    whole = at.bench.logit_diffs(masks)
    np.testing.assert_allclose(*whole, atol=1e-5)  # logits; a kernel may sum the rows of a batch in different ways
    some = at.bench.logit_diffs([at.bench.mask(nodes)], rows=[5, 2])
    np.testing.assert_allclose(some[0], whole[0, [5, 2]], atol=1e-5)  # a batch of other rows


@pytest.mark.parametrize("layers", [(0,), (1, 2)])
@pytest.mark.parametrize("architecture", DECODERS)
def test_mlps_out_equal_hooks(helpers, architecture, layers):
    at = helpers.setting(architecture, n=3)
    ours = knockouts.without_mlps(at.bench, at.setup.mlp_means, layers)
    for prompt, value in zip(at.prompts, ours, strict=True):
        means = mean_by_hand(at, prompt, "hook_mlp_out")
        hooks = [(f"blocks.{layer}.hook_mlp_out", lambda x, hook, layer=layer, means=means: means[layer][None])
                 for layer in layers]  # fmt: skip
        assert value == pytest.approx(by_hooks(at, prompt, hooks), abs=1e-4)


def test_divergence_is_that_of_the_whole_distributions(helpers):
    at = helpers.setting(n=3)
    bench, base = at.bench, at.bench.only(at.circuit.nodes)
    np.testing.assert_allclose(knockouts.divergence(bench, bench.model), 0, atol=1e-6)
    with torch.inference_mode():
        whole = torch.stack([at.tiny.bridge(torch.tensor([p.ids]))[0, -1] for p in at.prompts]).log_softmax(-1)
        part = Stack(at.tiny.hf_model).logits(base.run.answer_state).log_softmax(-1)
    theirs = torch.nn.functional.kl_div(part, whole, log_target=True, reduction="none").sum(-1)
    np.testing.assert_allclose(knockouts.divergence(bench, base), theirs, atol=1e-4)
