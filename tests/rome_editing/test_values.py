"""The batched search for v* is the plain loop over facts, contexts and whole forward passes."""

import pytest
import torch
from rome_editing import oracle
from tiny_models import DECODERS

from replications.models.families import projection
from replications.rome_editing.hparams import HParams
from replications.rome_editing.packed import open_model
from replications.rome_editing.values import Search

LAST = 2


def assert_search_is_the_loop(architecture, layer, hp, n=2):
    model, facts = oracle.hf_model(architecture), oracle.facts(n, contexts=2)
    found = Search(open_model(model), facts, [layer], hp).find(layer)
    for i, fact in enumerate(facts):
        delta, losses, bare = oracle.find_value(model, projection(model, layer), fact, hp)
        mine = found.losses[i]
        torch.testing.assert_close(mine[~mine.isnan()], torch.tensor(losses), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(found.delta[i], delta, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(found.target[i], bare + delta, atol=1e-3, rtol=1e-3)
    return found


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("architecture", DECODERS)
def test_the_batched_search_is_the_plain_loop(architecture, layer):
    found = assert_search_is_the_loop(architecture, layer, HParams(relative=layer == 1, steps=5))
    assert found.delta.norm(dim=-1).min() > 0.1


def test_facts_that_are_done_leave_the_others_as_they_would_be_alone():
    found = assert_search_is_the_loop("qwen2", 0, HParams(relative=False, steps=6, stop=4.5), n=3)
    ended = found.losses.isnan().any(dim=1)
    assert ended.any()
    assert not ended.all()


def test_a_tight_clamp_holds():
    hp = HParams(relative=False, steps=5, clamp=0.5)
    found = assert_search_is_the_loop("llama", 0, hp)
    torch.testing.assert_close(found.delta.norm(dim=-1), 0.5 * found.bare_value.norm(dim=-1))


@pytest.mark.parametrize("architecture", ["llama", "gptj"])
def test_in_the_last_layer_rounding_is_not_followed(architecture):
    """Nothing after the subject hears of the last layer's MLP, so there is nothing to find."""
    facts = oracle.facts(2, contexts=2)
    found = Search(open_model(oracle.hf_model(architecture)), facts, [LAST], HParams(relative=False)).find(LAST)
    assert found.delta.abs().max() == 0
    assert found.losses[:, 1:].isnan().all()


def test_in_a_model_of_gpt2_xls_size_relative_is_absolute():
    relative, absolute = HParams(relative=True), HParams(relative=False)
    assert relative.step(23.128, 1600) == pytest.approx(absolute.step(23.128, 1600))
    assert relative.decay(23.128) == pytest.approx(absolute.decay(23.128))


def test_relative_steps_and_decay_do_not_depend_on_the_unit():
    hp = HParams(relative=True)
    assert hp.step(1.0, 64) * 7 == pytest.approx(hp.step(7.0, 64))
    assert hp.decay(1.0) * 3.0 == pytest.approx(hp.decay(7.0) * 21.0)
