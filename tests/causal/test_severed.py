"""A restored state whose later MLPs or attention modules are held at the corrupted run: the plain two-pass hooks."""

import pytest
import torch
from causal import oracle
from causal.oracle import HOOKS, TOLERANCE
from tiny_models import DECODERS, ENCODERS, random_pairs, tiny_model

from replications.causal import metrics, noise
from replications.causal.cells import grid, single, windows
from replications.causal.patch import patch
from replications.causal.runs import run
from replications.causal.stack import Stack

SEVERED = ("mlp_out", "attn_out")
ANSWER, WIDTH = (9, 17), 6


def two_passes(bridge, tokens, added, layer, position, site):
    """Meng et al.'s algorithm for one cell: the corrupted run is recorded, then run again with one state restored and
    `site` put back to what was recorded, at every layer, at the restored position."""
    noisy = ("embed.hook_out", lambda words, hook: words + added)
    name = "blocks.{}." + HOOKS[site]
    names, recorded = [name.format(each) for each in range(bridge.cfg.n_layers)], {}
    batch = torch.tensor([tokens]).expand(len(added), -1)

    def record(x, hook):
        recorded[hook.name] = x.clone()

    def hold(x, hook):
        x = x.clone()
        x[:, position] = recorded[hook.name][:, position]
        return x

    def restore(x, hook):
        x = x.clone()
        x[:, position] = clean[hook.name][:, position]
        return x

    with torch.inference_mode():
        _, clean = bridge.run_with_cache(torch.tensor([tokens]))
        bridge.run_with_hooks(batch, fwd_hooks=[noisy, *((each, record) for each in names)])
        state = (f"blocks.{layer}.{HOOKS['resid_post']}", restore)
        logits = bridge.run_with_hooks(batch, fwd_hooks=[noisy, *((each, hold) for each in names), state])
    return oracle.diff_at(ANSWER)(logits)


def runs(architecture):
    tiny, tokens = tiny_model(architecture), random_pairs([WIDTH], {1})[0][0]
    added = noise.gaussian(2, WIDTH, 32, (1, 2), 0.5, torch.Generator().manual_seed(1))
    stack = Stack(tiny.hf_model)
    base = run(stack, torch.tensor([tokens]).expand(2, -1), noise=added, sites=SEVERED)
    return tiny, tokens, added, stack, base, run(stack, torch.tensor([tokens]), sites=["mlp_out"])


@pytest.mark.parametrize("site", SEVERED)
@pytest.mark.parametrize("architecture", [*DECODERS, *ENCODERS])
def test_severed_states_equal_two_passes(architecture, site):
    tiny, tokens, added, stack, base, source = runs(architecture)
    metric = metrics.logit_diff(torch.tensor([ANSWER, ANSWER]))
    rows = torch.arange(2)
    cells = grid("resid_post", single(3), torch.tensor([1, 2, 4]), rows, sources=torch.zeros_like(rows))
    ours = patch(stack, base, source, cells, metric, held=site).view(3, 3, 2)
    theirs = torch.stack([torch.stack([two_passes(tiny.bridge, tokens, added, layer, position, site)
                                       for position in (1, 2, 4)]) for layer in range(3)])  # fmt: skip
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)
    free = patch(stack, base, source, cells, metric).view(3, 3, 2)
    assert (ours - free).abs().max() > 1e-3  # severing did something
    torch.testing.assert_close(ours[2], free[2], atol=TOLERANCE, rtol=0)  # nothing comes after the last layer


def test_the_result_does_not_depend_on_the_budget():
    *_, stack, base, source = runs("llama")
    cells = grid(
        "resid_post", single(3), torch.arange(WIDTH), torch.arange(2), sources=torch.zeros(2, dtype=torch.long)
    )
    metric = metrics.logit_diff(torch.tensor([ANSWER, ANSWER]))
    whole, parts = (patch(stack, base, source, cells, metric, held="mlp_out", budget=b) for b in (1 << 32, 1))
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=0)


def test_only_residual_states_can_be_severed():
    *_, stack, base, source = runs("gpt2")
    cells = grid("mlp_out", windows(3, 2), torch.tensor([2]), torch.arange(2))
    with pytest.raises(ValueError, match="not after mlp_out"):
        patch(stack, base, source, cells, metrics.probability(torch.tensor([9, 9])), held="attn_out")


def test_metrics_side_by_side_are_the_metrics():
    *_, stack, base, source = runs("gemma3")
    rows = torch.arange(2)
    cells = grid("mlp_out", windows(3, 2), torch.arange(WIDTH), rows, sources=torch.zeros_like(rows))
    apart = [metrics.probability(torch.tensor([9, 9])), metrics.logit_diff(torch.tensor([ANSWER, ANSWER]))]
    ours = patch(stack, base, source, cells, metrics.together(*apart))
    theirs = torch.stack([patch(stack, base, source, cells, one) for one in apart], dim=-1)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert ours.shape == (len(cells), 2)


def test_the_papers_window_is_that_of_the_code_one_layer_up():
    ours, theirs = windows(30), windows(30, before=4)
    assert theirs[12] == (8, 18)  # l - 4 .. l + 5
    assert theirs[:-1] == ours[1:]
    assert windows(30, 3)[12] == windows(30, 3, before=1)[12] == (11, 14)
