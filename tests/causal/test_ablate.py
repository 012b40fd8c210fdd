"""Every copy equals one whole forward pass with the same heads replaced, whatever was shared on the way."""

import pytest
import torch
from causal.oracle import TOLERANCE, diff_at
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import DECODERS, random_pairs, tiny_model

from replications.causal import ablate, metrics
from replications.causal.ablate import Copies
from replications.causal.patching import batch_pairs
from replications.causal.runs import run
from replications.causal.stack import Stack

LENGTHS = [8, 6]


class Setting:
    """A tiny model, two prompts of different lengths, and substitutes from two others."""

    def __init__(self, architecture, seed=0):
        self.tiny = tiny_model(architecture)
        self.prompts, others, self.answers = random_pairs(LENGTHS, {4, 2}, seed)
        batch = batch_pairs(self.prompts, others, self.answers)
        self.stack, self.width = Stack(self.tiny.hf_model), batch.width
        self.metric = metrics.logit_diff(torch.tensor(self.answers))
        instead = run(self.stack, batch.corrupted, batch.corrupted_mask, sites=["z"]).site("z")
        self.base = ablate.unchanged(run(self.stack, batch.clean, batch.clean_mask), instead)
        self.shape = self.base.out.shape[1:]

    def values(self, out, base=None):
        """Copies [k layer T head] of both prompts: values [k, prompt]."""
        rows = torch.arange(2).repeat(len(out))
        copies = Copies(rows, out.repeat_interleave(2, 0))
        return ablate.values(self.stack, base or self.base, copies, self.metric).view(len(out), 2)

    def hooked(self, out):
        """The same for one table of heads, by a plain forward pass per prompt."""
        found = []
        for i, ids in enumerate(self.prompts):
            shift = self.width - len(ids)

            def replace(z, hook, i=i, shift=shift):
                layer, z = int(hook.name.split(".")[1]), z.clone()
                gone = out[layer, shift:]
                z[0][gone] = self.base.instead[layer][i, shift:][gone]
                return z

            hooks = [(f"blocks.{layer}.attn.hook_z", replace) for layer in range(self.shape[0])]
            with torch.inference_mode():
                logits = self.tiny.bridge.run_with_hooks(torch.tensor([ids]), fwd_hooks=hooks)
            found.append(diff_at(self.answers[i])(logits))
        return torch.cat(found)

    def drawn(self, share, seed, columns=None):
        """A random share of the heads, everywhere or at some columns only."""
        out = torch.rand(self.shape, generator=torch.Generator().manual_seed(seed)) < share
        kept = torch.zeros(self.shape[1], dtype=torch.bool)
        kept[list(range(self.shape[1]) if columns is None else columns)] = True
        return out & kept[:, None]


def assert_is_the_hooks(setting, out, base=None):
    ours = setting.values(out, base)
    for table, value in zip(out, ours, strict=True):
        torch.testing.assert_close(value, setting.hooked(table), atol=TOLERANCE, rtol=0)
    return ours


@pytest.mark.parametrize("architecture", DECODERS)
def test_knock_outs_equal_a_hook_loop(architecture):
    setting = Setting(architecture)
    found = assert_is_the_hooks(setting, torch.stack([setting.drawn(share, i) for i, share in enumerate((0.2, 0.9))]))
    assert (found[0] - found[1]).abs().min() > 1e-3


@pytest.mark.parametrize("architecture", DECODERS)
def test_a_recorded_knock_out_is_a_base_of_others(architecture):
    """From a circuit (all heads out but some at three columns): heads taken out, put back and exchanged."""
    setting = Setting(architecture)
    circuit = ~setting.drawn(0.5, 3, columns=(3, 5, 7))
    base = ablate.knocked_out(setting.stack, setting.base, circuit.expand(2, *setting.shape))
    out = torch.stack([circuit, circuit | setting.drawn(0.5, 4), circuit & ~setting.drawn(0.3, 5)])
    assert_is_the_hooks(setting, out, base)
    assert not ablate.live(base, Copies(torch.tensor([0]), circuit[None])).mask.any()


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(DECODERS), st.integers(0, 99), st.floats(0, 1), st.floats(0, 1), st.data())
def test_any_base_and_any_knock_out(architecture, seed, share, more, data):
    setting = Setting(architecture, seed)
    columns = data.draw(st.sets(st.integers(0, setting.width - 1)))
    first = setting.drawn(share, seed)
    base = ablate.knocked_out(setting.stack, setting.base, first.expand(2, *setting.shape))
    out = torch.stack([setting.drawn(more, seed + 1, columns), first ^ setting.drawn(more, seed + 2, columns)])
    assert_is_the_hooks(setting, out, base)


@pytest.mark.parametrize("architecture", DECODERS)
def test_knocking_nothing_out_is_the_model_itself(architecture):
    setting = Setting(architecture)
    none = torch.zeros(1, *setting.shape, dtype=torch.bool)
    rows = torch.arange(2)
    with torch.inference_mode():
        plain = setting.metric(setting.stack, setting.base.run.answer_state, rows)
    assert torch.equal(setting.values(none)[0], plain)


def test_a_head_replaced_by_itself_changes_nothing():
    setting = Setting("llama")
    own = run(setting.stack, batch_pairs(setting.prompts, setting.prompts, setting.answers).clean,
              setting.base.run.frame.mask, sites=["z"])  # fmt: skip
    base = ablate.unchanged(own, own.site("z"))
    out = torch.ones(1, *setting.shape, dtype=torch.bool)
    torch.testing.assert_close(setting.values(out, base), setting.values(~out, base), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("tokens", [1, 7])
def test_the_size_of_a_chunk_does_not_matter(monkeypatch, tokens):
    setting = Setting("gemma3")
    out = torch.stack([setting.drawn(0.3, seed) for seed in range(6)])
    whole = setting.values(out)
    monkeypatch.setattr(ablate, "TOKENS", tokens)
    torch.testing.assert_close(setting.values(out), whole, atol=1e-5, rtol=0)


def test_only_columns_that_differ_and_are_read_are_computed():
    setting = Setting("llama")
    layers, width, _ = setting.shape
    last = torch.zeros(setting.shape, dtype=torch.bool)
    last[1, width - 1, 0] = True
    there = ablate.live(setting.base, Copies(torch.tensor([0]), last[None]))
    assert there.mask[0].nonzero().tolist() == [[width - 1]]
    assert there.start[0, width - 1] == 1
    early = torch.zeros(setting.shape, dtype=torch.bool)
    early[0, 3, 0] = True
    there = ablate.live(setting.base, Copies(torch.tensor([0]), early[None]))
    assert there.start[0].tolist() == [layers, layers, layers, 0, 1, 1, 1, 1]
    nobody = ~torch.zeros(setting.shape, dtype=torch.bool)  # every head is out, so no column reads another
    there = ablate.live(setting.base, Copies(torch.tensor([0]), nobody[None]))
    assert there.mask[0].nonzero().tolist() == [[width - 1]]


def test_padding_is_never_computed():
    setting = Setting("gpt2")
    everything = torch.ones(1, *setting.shape, dtype=torch.bool)
    there = ablate.live(setting.base, Copies(torch.tensor([1]), everything), whole=True)
    assert (there.start < there.stop)[0].tolist() == [False] * 2 + [True] * 6


def test_substitutes_of_another_shape_and_encoders_are_refused():
    setting = Setting("gpt2")
    with pytest.raises(ValueError, match="do not fit"):
        ablate.unchanged(setting.base.run, setting.base.instead[:-1])
    encoder = Stack(tiny_model("bert").hf_model)
    base = run(encoder, torch.tensor([[3, 4]]), sites=["z"])
    copies = Copies(torch.tensor([0]), torch.ones(1, 3, 2, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="causal"):
        ablate.answer_states(encoder, ablate.unchanged(base, base.site("z")), copies)
