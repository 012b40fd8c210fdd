"""Variants keep positions and change names; patching equals hooks; the fit finds planted coefficients."""

import numpy as np
import pytest
import torch

from replications.evidence import stats
from replications.ioi_faithfulness import signals

STORY = {
    ("kept", "kept"): "ABB", ("kept", "turned"): "BAB", ("unrelated", "kept"): "CDD",
    ("unrelated", "turned"): "DCD", ("turned", "kept"): "BAA", ("turned", "turned"): "ABA",
}  # fmt: skip


@pytest.mark.parametrize("cell", signals.CELLS)
def test_variants_are_those_of_the_table(helpers, cell):
    for prompt in helpers.prompts(4):
        others = signals.strangers([prompt])[0]
        names = dict(zip("ABCD", (prompt.ids[prompt.io_at], prompt.ids[prompt.s1_at], *others), strict=True))
        made = signals.variant(prompt, *cell, others)
        spots = (prompt.io_at, prompt.s1_at, prompt.s2_at)
        assert [made[at] for at in spots] == [names[letter] for letter in STORY[cell]]
        assert [t for i, t in enumerate(made) if i not in spots] == [
            t for i, t in enumerate(prompt.ids) if i not in spots
        ]
        assert len(set(names.values())) == 4


def test_patched_heads_equal_hooks(helpers):
    at = helpers.setting(n=4)
    found = list(signals.logit_diffs(at.bench, at.circuit, "cpu"))
    np.testing.assert_allclose(found[0], at.bench.read(at.bench.model), atol=1e-5)
    ((layer, head),) = at.circuit.classes["s_inhibition"]
    hook = f"blocks.{layer}.attn.hook_z"
    taken = {}

    def put(z, hook):
        z = z.clone()
        z[0, -1, head] = taken[hook.name][0, -1, head]
        return z

    for cell, values in zip(signals.CELLS, found, strict=True):
        for prompt, value in zip(at.prompts, values, strict=True):
            other = signals.variant(prompt, *cell, signals.strangers([prompt])[0])
            with torch.inference_mode():
                taken.update(at.tiny.bridge.run_with_cache(torch.tensor([other]))[1])
                last = at.tiny.bridge.run_with_hooks(torch.tensor([prompt.ids]), fwd_hooks=[(hook, put)])[0, -1]
            assert value == pytest.approx((last[prompt.io_id] - last[prompt.s_id]).item(), abs=1e-4)


def test_the_fit_of_the_printed_cells_is_the_printed_rule():
    """Figure 9 of the paper gives the coefficients and the error of its appendix A."""
    printed = np.array([[3.55, -0.99, 2.45, -1.96, 1.77, -3.16]])
    position, token, error = signals.fit(printed)
    assert position[0] == pytest.approx(2.31, abs=0.005)
    assert token[0] == pytest.approx(0.99, abs=0.005)
    assert error[0] == pytest.approx(0.07, abs=0.01)


def test_planted_coefficients_and_shares():
    signs = [(signals.POSITION[p], signals.TOKEN[t]) for t, p in signals.CELLS]
    cells = np.array([[3.0 * p + 1.0 * t] * 5 for p, t in signs])
    tree = signals.quantities(cells, stats.resample_weights(5, resamples=20, seed=0))
    assert tree["position"]["value"] == pytest.approx(3)
    assert tree["token"]["value"] == pytest.approx(1)
    assert tree["error"]["value"] == pytest.approx(0)
    assert tree["share_position"]["value"] == pytest.approx(6 / 8)
    assert tree["share_token"]["value"] == pytest.approx(2 / 8)
    assert tree["token_turned"]["position_kept"]["value"] == pytest.approx(2)
