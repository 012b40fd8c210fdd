"""The edited matrix, wherever an architecture keeps it: its orientation, its name, and that it comes back."""

from types import SimpleNamespace

import pytest
import torch
from rome_editing import oracle
from tiny_models import DECODERS, tiny_model

from replications.errors import Refusal
from replications.models.families import as_map, projection
from replications.rome_editing.projection import add_rank_one, restored, watched


@pytest.mark.parametrize("architecture", DECODERS)
def test_it_is_the_module_that_writes_the_mlps_output(architecture):
    tiny = tiny_model(architecture)
    module = projection(tiny.hf_model, 1)
    assert as_map(module).shape[1] == tiny.hf_model.config.hidden_size
    key = torch.randn(5, as_map(module).shape[0])
    bias = 0 if module.bias is None else module.bias
    torch.testing.assert_close(module(key), key @ as_map(module) + bias)
    with restored(module), torch.inference_mode():
        module.weight.zero_()  # the bridge has the very same tensor
        _, cache = tiny.bridge.run_with_cache(torch.tensor([[3, 4, 5]]))
        written = cache["blocks.1.hook_mlp_out"]
    assert torch.equal(written, written[..., :1, :].expand_as(written))
    assert cache["blocks.0.hook_mlp_out"].std() > 0


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_rank_one_update_moves_a_key_by_its_overlap(architecture):
    module = projection(oracle.hf_model(architecture), 0)
    d_in, d_out = as_map(module).shape
    u, lam, key = torch.randn(d_in), torch.randn(d_out), torch.randn(d_in)
    before = module(key)
    with restored(module):
        add_rank_one(module, u, lam)
        torch.testing.assert_close(module(key), before + (u @ key) * lam, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", DECODERS)
def test_the_weight_comes_back_bit_by_bit(architecture):
    module = projection(oracle.hf_model(architecture), 2)
    before = module.weight.detach().clone()

    def edit_and_fail():
        with restored(module):
            add_rank_one(module, torch.randn(as_map(module).shape[0]), torch.randn(as_map(module).shape[1]))
            assert not torch.equal(module.weight, before)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        edit_and_fail()
    assert torch.equal(module.weight, before)
    assert module.weight.requires_grad


def test_a_watch_that_writes_nothing_changes_nothing():
    model, seen = oracle.hf_model("gpt2"), []
    tokens = torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        before = model(tokens).logits
        with watched(projection(model, 1), lambda keys, values: seen.append((keys.shape[0], values.shape[0]))):
            assert torch.equal(model(tokens).logits, before)
    assert seen == [(3, 3)]
    with torch.no_grad():
        model(tokens)
    assert len(seen) == 1


def test_an_unknown_architecture_is_refused():
    model = SimpleNamespace(config=SimpleNamespace(model_type="mamba"))
    with pytest.raises(Refusal, match="mamba: no adapter in replications/models/families is for this family"):
        projection(model, 0)
