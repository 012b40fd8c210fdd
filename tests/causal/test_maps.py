"""One pass over the layers gives the numbers of one forward pass per cell."""

from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import DECODERS, random_pairs, tiny_model

from replications import progress
from replications.causal import maps, patching

TOLERANCE = 1e-4  # logits, fp32: the order of summation differs


def assert_same(architecture, batch, heads=True):
    tiny = tiny_model(architecture)
    ours = maps.patch_maps(tiny.hf_model, batch, heads=heads)
    theirs = patching.patch_maps(tiny.bridge, batch, heads=heads)
    for name in ("clean", "corrupted", "resid_pre", "head_z"):
        a, b = getattr(ours, name), getattr(theirs, name)
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, atol=TOLERANCE, rtol=0, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("architecture", DECODERS)
def test_every_cell_equals_the_helpers(architecture):
    assert_same(architecture, patching.batch_pairs(*random_pairs([9, 6, 7], changed={4, 2})))


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(DECODERS),
    st.lists(st.integers(2, 12), min_size=1, max_size=4),
    st.sets(st.integers(1, 12), min_size=1),
    st.integers(0, 99),
)
def test_any_lengths_and_positions(architecture, lengths, changed, seed):
    changed = {min(back, min(lengths)) for back in changed}  # every pair differs somewhere
    assert_same(architecture, patching.batch_pairs(*random_pairs(lengths, changed, seed)))


@pytest.mark.parametrize("architecture", DECODERS)
def test_a_pair_aligned_at_its_end(architecture):
    batch = patching.batch_pairs([[3, 4, 5, 9, 10]], [[3, 6, 7, 8, 9, 10]], [(20, 30)], [4])
    assert_same(architecture, batch, heads=False)


@pytest.mark.parametrize("budget", [1 << 32, 1])
@pytest.mark.parametrize("architecture", DECODERS)
def test_behaviour_equals_the_bridges(architecture, budget):
    tiny, batch = tiny_model(architecture), patching.batch_pairs(*random_pairs([9, 6, 7], changed={4, 2}))
    ours, theirs = maps.behaviour(tiny.hf_model, batch, budget=budget), patching.behaviour(tiny.bridge, batch)
    for name in ("clean", "corrupted", "p_answer"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), atol=TOLERANCE, rtol=0)


def test_the_result_does_not_depend_on_the_budget():
    batch = patching.batch_pairs(*random_pairs([9, 5, 6, 12, 7], changed={3}))
    whole, parts = (maps.patch_maps(tiny_model("llama").hf_model, batch, heads=True, budget=b) for b in (1 << 32, 1))
    torch.testing.assert_close(parts.resid_pre, whole.resid_pre, atol=1e-5, rtol=0)
    torch.testing.assert_close(parts.head_z, whole.head_z, atol=1e-5, rtol=0)


def test_the_model_is_left_as_it_was():
    model, tokens = tiny_model("llama").hf_model, torch.tensor([[3, 4, 5]])
    with torch.inference_mode():
        before = model(tokens).logits
        maps.patch_maps(model, patching.batch_pairs(*random_pairs([6], changed={2})), heads=True)
        assert torch.equal(model(tokens).logits, before)


def test_an_encoder_is_refused():
    with pytest.raises(ValueError, match="an encoder is asked"):
        maps.patch_maps(tiny_model("bert").hf_model, patching.batch_pairs(*random_pairs([4], {2})), heads=False)


def test_all_of_the_work_is_reported(monkeypatch):
    tiny, batch, seen = tiny_model("gpt2"), patching.batch_pairs(*random_pairs([9, 6, 7], changed={4, 2})), []
    step = progress.step

    @contextmanager
    def watched(doing, total):
        with step(doing, total) as one:
            yield one
        seen.append((doing, one.done))

    monkeypatch.setattr(progress, "step", watched)
    maps.patch_maps(tiny.hf_model, batch, heads=True, budget=1 << 16)
    maps.behaviour(tiny.hf_model, batch)
    assert seen == [("patching", pytest.approx(3)), ("asking", pytest.approx(3))]
