"""Our batched patching against TransformerLens' helper alone: same model, same cells, same run.

`make bench` prints both medians; their ratio is what counts, since machines differ. A timing is only taken after both
agree. Nothing here is asserted about speed.
"""

import pytest

MODEL = "smollm2-135m"
PROMPTS = 2
TOLERANCE = 1e-3  # logits

pytestmark = [pytest.mark.model, pytest.mark.benchmark(group="resid_pre map, 2 pairs")]


@pytest.fixture(scope="module")
def setting():
    from replications.ioi.activation_patching import to_batch
    from replications.ioi.stimuli import build_prompts
    from replications.lens.experiment import encoder
    from replications.lens.load import load_model
    from replications.lens.stimuli import load_stimuli

    loaded, text = load_model(MODEL), load_stimuli("en")
    made = build_prompts(text.ioi, encoder(loaded), prefix=text.answer_prefix, n=PROMPTS, seed=0)
    return loaded.bridge, made.prompts, to_batch(made.prompts)


def plain_map(bridge, prompts):
    """Every layer and position, prompt by prompt, one whole forward pass per cell. List of [layer, position]."""
    import torch
    from transformer_lens import patching

    maps = []
    for prompt in prompts:
        right, wrong = prompt.answers
        with torch.inference_mode():
            _, cache = bridge.run_with_cache(torch.tensor([prompt.clean.ids]))
            values = patching.get_act_patch_resid_pre(
                bridge, torch.tensor([prompt.corrupted.ids]), cache,
                lambda logits, right=right, wrong=wrong: logits[0, -1, right] - logits[0, -1, wrong],
            )  # fmt: skip
        maps.append(values)
    return maps


def batched_map(bridge, batch):
    from replications.lens.patching import patch_maps

    return patch_maps(bridge, batch, heads=False).resid_pre


def test_plain_helper(benchmark, setting):
    bridge, prompts, _ = setting
    benchmark.pedantic(plain_map, args=(bridge, prompts), rounds=1)


def test_batched(benchmark, setting):
    bridge, prompts, batch = setting
    for ours, theirs in zip(batched_map(bridge, batch).unbind(-1), plain_map(bridge, prompts), strict=True):
        assert (ours[:, -theirs.shape[1] :] - theirs).abs().max() < TOLERANCE
    benchmark.pedantic(batched_map, args=(bridge, batch), rounds=5)
