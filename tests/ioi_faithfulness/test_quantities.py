"""Planted arrays give planted numbers; other ways of testing are what their names say."""

import numpy as np
import pytest
import torch

from replications.evidence import stats
from replications.ioi_faithfulness import experiments, quantities
from replications.ioi_faithfulness.circuits import Circuit

MODEL = np.array([4.0, 2.0, 3.0, 3.0])
WEIGHTS = stats.resample_weights(4, resamples=40, seed=0)
CIRCUIT = Circuit({"name_mover": ((1, 0), (1, 1)), "induction": ((0, 1),)})


def test_faithfulness_of_a_planted_circuit(helpers):
    found = {"model": MODEL, "circuit": MODEL * 0.8, "kl": np.full(4, 0.25)}
    tree = quantities.faithfulness(found, helpers.prompts(4), WEIGHTS)
    assert tree["share"]["value"] == pytest.approx(0.8)
    assert (tree["share"]["ci_low"], tree["share"]["ci_high"]) == pytest.approx((0.8, 0.8))  # resampled together
    assert tree["gap"]["value"] == pytest.approx(0.6)
    assert tree["relative_gap"]["value"] == pytest.approx(0.2)
    assert tree["kl"]["value"] == 0.25
    assert tree["ABBA"]["share"]["value"] == pytest.approx(0.8)
    assert tree["ABBA"]["share"]["n"] == 2
    assert tree["iqr"]["value"] == pytest.approx(np.subtract(*np.quantile(MODEL * 0.8 / 3, [0.75, 0.25])))


def test_a_circuit_that_overshoots_has_a_gap_as_well(helpers):
    tree = quantities.faithfulness({"model": MODEL, "circuit": MODEL * 1.5, "kl": MODEL}, helpers.prompts(4), WEIGHTS)
    assert tree["relative_gap"]["value"] == pytest.approx(0.5)


def test_random_circuits_are_beaten_by_distance_from_the_model():
    found = {"model": MODEL, "circuit": MODEL * 0.9}
    tree = quantities.random_circuits(np.outer([0.0, 0.5, 0.95, 1.5], MODEL), found)
    assert tree["beaten"]["value"] == 0.75
    assert tree["share"]["value"] == pytest.approx((0.5 + 0.95) / 2)


def test_completeness_of_planted_sets():
    found = {
        "faithfulness": {"model": MODEL},
        "classes": {"circuit": np.stack([MODEL * 0.5, MODEL]), "model": np.stack([MODEL * 0.6, MODEL * 0.9])},
        "random_sets": {"circuit": np.stack([MODEL, MODEL]), "model": np.stack([MODEL * 0.9, MODEL * 0.5])},
        "greedy/0": {"circuit": MODEL[None, 1::2], "model": np.zeros((1, 2)), "member": np.array([1.0, 1.0, 0.0])},
    }
    tree = quantities.completeness(found, CIRCUIT, WEIGHTS)
    assert tree["classes"]["name_mover"]["incompleteness"]["value"] == pytest.approx(0.3)
    assert tree["classes"]["induction"]["effect"]["value"] == pytest.approx(-0.1)
    assert tree["random"]["relative_max"]["value"] == pytest.approx(0.5)
    assert tree["random"]["relative_mean"]["value"] == pytest.approx(0.3)
    assert tree["greedy"]["max"]["value"] == pytest.approx(2.5)
    assert tree["greedy"]["relative_max"]["value"] == pytest.approx(1)
    assert tree["greedy"]["size"]["value"] == 2
    assert tree["greedy"]["max"]["n"] == 2


def test_minimality_of_planted_heads():
    there = np.stack([MODEL] * 3)
    gone = np.stack([MODEL * 0.5, MODEL * 1.2, MODEL * 0.995])
    tree = quantities.minimality({"with": gone, "without": there}, CIRCUIT, MODEL, WEIGHTS)
    assert tree["heads"]["L0H1"]["score"]["value"] == pytest.approx(0.5)
    assert tree["heads"]["L1H0"]["change"]["value"] == pytest.approx(0.6)
    assert tree["smallest"]["value"] == pytest.approx(0.005)
    assert tree["smallest_head"]["value"] == "L1H1"
    assert tree["passed"]["value"] == pytest.approx(2 / 3)


def test_other_ways_of_testing_equal_hooks(helpers):
    """Every kept head at all positions, and what is out replaced by the output on the prompt's own twin."""
    at = helpers.setting("gpt2", n=4)
    found = experiments._variants(at.setup, at.circuit)
    bridge, layers = at.tiny.bridge, range(3)
    for i, prompt in enumerate(at.prompts):
        with torch.inference_mode():
            _, twin = bridge.run_with_cache(torch.tensor([prompt.abc_ids]))

        def replace(z, hook, twin=twin):
            z, own, layer = twin[hook.name].clone(), z, int(hook.name.split(".")[1])
            kept = [head for at_layer, head in at.circuit.heads if at_layer == layer]
            z[:, :, kept] = own[:, :, kept]
            return z

        hooks = [(f"blocks.{layer}.attn.hook_z", replace) for layer in layers]
        with torch.inference_mode():
            last = bridge.run_with_hooks(torch.tensor([prompt.ids]), fwd_hooks=hooks)[0, -1]
        expected = (last[prompt.io_id] - last[prompt.s_id]).item()
        assert found["everywhere_resample"][i] == pytest.approx(expected, abs=1e-4)
    assert len({round(float(values.mean()), 4) for values in found.values()}) == len(found)
