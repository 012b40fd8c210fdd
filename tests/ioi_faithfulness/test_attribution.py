"""Importance is first order in the change, and the area under the curve is the chance of a right order."""

import numpy as np
import pytest
import torch

from replications.ioi_faithfulness import attribution

HEADS = [(0, 0), (1, 1)]


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2"])
def test_importance_is_the_effect_of_a_small_step(helpers, architecture):
    """Towards the mean by a thousandth, everywhere at once: a thousandth of the importance."""
    at, step = helpers.setting(architecture, n=4), 1e-3
    found = attribution.importance(at.tiny.bridge, at.prompts, at.bench.model.instead)
    assert found.shape == (4, 3, 4)
    for i, prompt in enumerate(at.prompts):
        for layer, head in ((0, 1), (1, 2), (2, 3)):
            mean = at.bench.model.instead[layer][i, -len(prompt.ids) :, head]

            def nudge(z, hook, mean=mean, head=head):
                z = z.clone()
                z[0, :, head] += step * (mean - z[0, :, head])
                return z

            with torch.inference_mode():
                whole = at.tiny.bridge(torch.tensor([prompt.ids]))[0, -1].double()
                last = at.tiny.bridge.run_with_hooks(
                    torch.tensor([prompt.ids]), fwd_hooks=[(f"blocks.{layer}.attn.hook_z", nudge)]
                )[0, -1].double()
            moved = last - whole
            effect = (moved[prompt.io_id] - moved[prompt.s_id]).abs().item() / step
            assert found[i, layer, head].item() == pytest.approx(effect, rel=0.05, abs=0.02)


def test_a_perfect_a_reversed_and_an_even_ranking():
    scores = np.zeros((3, 2, 3))
    for layer, head in HEADS:
        scores[0, layer, head], scores[1, layer, head] = 1, -1
    np.testing.assert_allclose(attribution.roc_auc(scores, HEADS), [1, 0, 0.5])
