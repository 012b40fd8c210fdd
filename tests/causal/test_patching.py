"""The shared prefix, the left padding and the narrow unembedding change nothing: plain helpers, prompt by prompt."""

import pytest
import torch
from tiny_models import random_pairs, tiny_model

from replications.causal import patching

ARCHITECTURES = ("llama", "gemma3", "gpt2")
TOLERANCE = 1e-4  # logits, fp32: the order of summation differs


@pytest.fixture(params=ARCHITECTURES)
def bridge(request):
    return tiny_model(request.param).bridge


def oracle(bridge, clean, corrupted, answer):
    """Both maps of one pair with TransformerLens' helpers alone: no padding, no cache, the whole vocabulary."""
    from transformer_lens import patching as plain  # takes seconds

    def metric(logits):
        return logits[:, -1, answer[0]] - logits[:, -1, answer[1]]

    with torch.inference_mode():
        logits, cache = bridge.run_with_cache(torch.tensor([clean]))
        tokens = torch.tensor([corrupted])
        resid = plain.get_act_patch_resid_pre(bridge, tokens, cache, metric, reduce="none", baseline=True)
        heads = plain.get_act_patch_attn_head_out_by_pos(bridge, tokens, cache, metric, reduce="none")
    return metric(logits), resid.baseline, resid.values[..., 0], heads.values[:, -1, :, 0]


def test_maps_equal_the_plain_helpers_for_prompts_of_several_lengths(bridge):
    clean, corrupted, answers = random_pairs([9, 6, 7], changed={4, 2})
    maps = patching.patch_maps(bridge, patching.batch_pairs(clean, corrupted, answers), heads=True)
    for i, (a, b, answer) in enumerate(zip(clean, corrupted, answers, strict=True)):
        base_clean, base_corrupted, resid, heads = oracle(bridge, a, b, answer)
        torch.testing.assert_close(maps.clean[i : i + 1], base_clean, atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(maps.corrupted[i : i + 1], base_corrupted, atol=TOLERANCE, rtol=0)
        # Also where nothing was computed: there the patch cannot have changed anything.
        torch.testing.assert_close(maps.resid_pre[:, -len(a) :, i], resid, atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(maps.head_z[..., i], heads, atol=TOLERANCE, rtol=0)


def test_every_column_is_patched_when_the_first_token_differs(bridge):
    clean, corrupted, answers = random_pairs([5, 5], changed={5})
    batch = patching.batch_pairs(clean, corrupted, answers)
    maps = patching.patch_maps(bridge, batch, heads=False)
    assert batch.patchable.all()
    assert maps.head_z is None
    _, _, resid, _ = oracle(bridge, clean[0], corrupted[0], answers[0])
    torch.testing.assert_close(maps.resid_pre[..., 0], resid, atol=TOLERANCE, rtol=0)


def test_restoring_everything_that_differs_at_the_bottom_restores_the_clean_run(bridge):
    clean, corrupted, answers = random_pairs([8], changed={3})
    maps = patching.patch_maps(bridge, patching.batch_pairs(clean, corrupted, answers), heads=False)
    torch.testing.assert_close(maps.resid_pre[0, 5], maps.clean, atol=TOLERANCE, rtol=0)


def test_the_model_is_whole_again_after_the_narrow_unembedding():
    bridge, tokens = tiny_model("llama").bridge, torch.tensor([[3, 4, 5]])
    with torch.inference_mode():
        before = bridge(tokens)
        with patching.unembedding_only(bridge, torch.tensor([9, 4])):
            narrow = bridge(tokens)
        torch.testing.assert_close(narrow, before[..., [9, 4]], atol=1e-6, rtol=0)
        assert torch.equal(bridge(tokens), before)


def test_behaviour_does_not_depend_on_the_chunk():
    batch = patching.batch_pairs(*random_pairs([6, 9, 7, 5], changed={2}))
    one, all_ = (patching.behaviour(tiny_model("gpt2").bridge, batch, chunk=chunk) for chunk in (1, 4))
    for name in ("clean", "corrupted", "p_answer"):
        torch.testing.assert_close(getattr(one, name), getattr(all_, name), atol=TOLERANCE, rtol=0)
    assert ((one.p_answer > 0) & (one.p_answer < 1)).all()


def test_log_ratio_is_the_difference_of_log_probabilities():
    bridge = tiny_model("llama").bridge
    clean, corrupted, answers = random_pairs([6], changed={2})
    ran = patching.behaviour(bridge, patching.batch_pairs(clean, corrupted, answers))
    with torch.inference_mode():
        log_p = bridge(torch.tensor(clean)).log_softmax(-1)[0, -1]
    assert ran.clean.item() == pytest.approx((log_p[answers[0][0]] - log_p[answers[0][1]]).item(), abs=TOLERANCE)
    assert ran.p_answer.item() == pytest.approx(log_p[answers[0][0]].exp().item(), abs=1e-6)


def test_a_pair_of_unequal_length_is_refused():
    with pytest.raises(ValueError, match="pair 1: 3 clean tokens against 2"):
        patching.batch_pairs([[1, 2], [1, 2, 3]], [[1, 3], [1, 2]], [(1, 2), (1, 2)])


def test_rows_drops_the_padding_that_none_of_them_needs():
    batch = patching.batch_pairs(*random_pairs([9, 4], changed={2}))
    short = batch.rows(torch.tensor([1]))
    assert short.clean.shape == (1, 4)
    assert short.clean_mask.all()


def test_a_pair_of_unequal_length_is_aligned_at_its_last_token(bridge):
    """Oracle: a plain hook that writes the clean state k tokens from the end over the corrupted one."""
    clean, corrupted, answer = [3, 4, 5, 9, 10], [3, 6, 7, 8, 9, 10], (20, 30)
    maps = patching.patch_maps(bridge, patching.batch_pairs([clean], [corrupted], [answer], [4]), heads=False)
    with torch.inference_mode():
        _, clean_cache = bridge.run_with_cache(torch.tensor([clean]))
        for layer in range(3):
            for back in (1, 2, 3, 4):

                def restore(resid, hook, back=back):
                    resid[:, -back] = clean_cache[hook.name][:, -back]
                    return resid

                hooks = [(f"blocks.{layer}.hook_resid_pre", restore)]
                logits = bridge.run_with_hooks(torch.tensor([corrupted]), fwd_hooks=hooks)[0, -1]
                want = logits[answer[0]] - logits[answer[1]]
                torch.testing.assert_close(maps.resid_pre[layer, -back, 0], want, atol=TOLERANCE, rtol=0)
    assert torch.equal(maps.resid_pre[:, :2, 0], maps.corrupted.expand(3, 2))
