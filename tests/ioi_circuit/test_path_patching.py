"""Groups, receivers by name and knockouts, against plain hooks; the paths themselves are tested with the engine."""

from functools import partial

import pytest
import torch
from ioi_circuit.conftest import circuit_prompts
from tiny_models import tiny_model

from replications.causal import paths
from replications.causal.paths import Receivers
from replications.ioi_circuit import path_patching
from replications.ioi_circuit.anatomy import recorded

PROMPTS = [p for p in circuit_prompts(8, widths=(9,)) if p.order == "ABBA"]
MEANS = [(1, 0), (1, 3), (2, 2)]


def means_of(anatomy, heads):
    ((_, means),) = path_patching.twin_means([path_patching.make_group(anatomy, PROMPTS)], heads).items()
    return means


def hooked(architecture, ids, means):
    """Output z of these heads replaced at the last column, by hooks on the bridge."""

    def put(z, hook, layer):
        for (at, head), value in means.items():
            if at == layer:
                z[:, -1, head] = value
        return z

    hooks = [(f"blocks.{layer}.attn.hook_z", partial(put, layer=layer)) for layer in range(3)]
    bridge = tiny_model(architecture).bridge
    with torch.inference_mode():
        logits = bridge.run_with_hooks(torch.tensor(ids), fwd_hooks=hooks)
        names = [f"blocks.{layer}.attn.hook_z" for layer in range(3)]
        with bridge.hooks(fwd_hooks=hooks):
            _, cache = bridge.run_with_cache(torch.tensor(ids), names_filter=names)
    return logits[:, -1], torch.stack([cache[name] for name in names])


def test_a_knocked_out_run_equals_the_hooks(architecture, tiny):
    ids = [prompt.ids for prompt in PROMPTS]
    means = means_of(tiny, MEANS)
    made = path_patching.knocked_out(tiny, ids, means, ["z", "q"])
    logits, z = hooked(architecture, ids, means)
    with torch.inference_mode():
        torch.testing.assert_close(tiny.stack.logits(made.answer_state), logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(torch.stack(made.site("z"))[:, :, -1], z[:, :, -1], atol=1e-4, rtol=1e-4)
    plain = recorded(tiny, ids, ["z"])
    assert not torch.allclose(plain.answer_state, made.answer_state, atol=1e-3)
    torch.testing.assert_close(plain.site("z")[2][:, :-1], made.site("z")[2][:, :-1])  # other columns see nothing


def test_means_are_over_the_twins_of_one_template_and_order_at_the_last_column(tiny):
    prompts = circuit_prompts(12)
    groups = [path_patching.make_group(tiny, [prompts[i] for i in rows])
              for rows in path_patching.grouped(prompts, path_patching.shape).values()]  # fmt: skip
    means = path_patching.twin_means(groups, MEANS)
    assert len(means) == 4
    for key, found in means.items():
        own = [prompt for prompt in prompts if path_patching.template(prompt) == key]
        z = recorded(tiny, [prompt.abc_ids for prompt in own], ["z"]).site("z")
        assert found.keys() == set(MEANS)
        torch.testing.assert_close(found[1, 3], torch.stack([row[-1, 3] for row in z[1]]).mean(0))


def test_direct_effects_with_a_knockout_equal_a_frozen_run(architecture, tiny):
    """Knocked-out heads stay knocked out while another one is patched, and nothing else moves."""
    means = means_of(tiny, [(1, 0)])
    group = path_patching.knocked_group(tiny, PROMPTS, means)
    effects = path_patching.on_logits(tiny, group, [(2, 1), (1, 2)])
    assert torch.isnan(effects).sum() == 10 * len(PROMPTS)
    _, own = hooked(architecture, [p.ids for p in PROMPTS], means)
    _, other = hooked(architecture, [p.abc_ids for p in PROMPTS], means)

    def freeze(z, hook, layer):
        z[:] = own[layer]
        if layer == 2:
            z[:, -1, 1] = other[2][:, -1, 1]
        return z

    hooks = [(f"blocks.{layer}.attn.hook_z", partial(freeze, layer=layer)) for layer in range(3)]
    with torch.inference_mode():
        logits = tiny_model(architecture).bridge.run_with_hooks(
            torch.tensor([p.ids for p in PROMPTS]), fwd_hooks=hooks
        )[:, -1]
    for i, prompt in enumerate(PROMPTS):
        patched = logits[i, prompt.io_id] - logits[i, prompt.s_id]
        clean = path_patching.logit_diffs(tiny, group)[i]
        torch.testing.assert_close(effects[2, 1, i], patched - clean, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("site", "at", "column"), [("q", "END", 8), ("v", "S2", 6), ("k", "S1+1", 5)])
def test_receivers_are_named_by_query_head_and_position(tiny, site, at, column):
    group = path_patching.make_group(tiny, PROMPTS)
    found = path_patching.on_receivers(tiny, group, [(0, 1), (1, 2)], site, [(2, 3), (2, 2)], at)
    shared = site != "q" and getattr(tiny.stack.config, "num_key_value_heads", 4) == 2
    heads = [(2, 1)] if shared else [(2, 3), (2, 2)]
    values = paths.to_receivers(tiny.stack, group.clean, group.abc, [(0, 1)], Receivers(site, heads, [column]),
                                group.metric)  # fmt: skip
    torch.testing.assert_close(found[0, 1], values[0] - path_patching.logit_diffs(tiny, group))
    assert torch.isfinite(found[1, 2]).all()
    assert torch.isnan(found[2]).all()


def test_groups_keep_the_order():
    prompts = circuit_prompts(7)
    groups = path_patching.grouped(prompts, path_patching.shape)
    assert sorted(i for rows in groups.values() for i in rows) == list(range(7))
    for rows in groups.values():
        assert len({path_patching.shape(prompts[i]) for i in rows}) == 1
        assert rows == sorted(rows)
