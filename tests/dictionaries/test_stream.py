"""Activations against TransformerLens' hooks; blocks that depend on nothing but their number; what is refused."""

import pytest
import torch
from dictionaries import tiny
from dictionaries.training import stream
from tiny_models import DECODERS, VOCABULARY, tiny_model

from replications.dictionaries.stream import Site, activations, at_site, geometric_median, scale_of
from replications.errors import Refusal

HOOKS = ("resid_pre", "mlp_post", "mlp_out")


def tokens(n=3, t=7, seed=0):
    return torch.randint(3, VOCABULARY, (n, t), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("architecture", [name for name in DECODERS if name != "opt"])
@pytest.mark.parametrize("name", HOOKS)
def test_activations_are_those_of_the_hooks(architecture, name):
    model, ids, site = tiny_model(architecture), tokens(), Site(name, 1)
    found = activations(model.hf_model, ids, [site], batch=2)[site]
    with torch.inference_mode():
        _, cache = model.bridge.run_with_cache(ids)
    assert torch.allclose(found, cache[site.hook_name], atol=1e-4)
    assert found.shape[-1] == site.width(model.hf_model)


def test_an_mlp_that_does_not_tell_texts_apart_is_refused():
    assert activations(tiny_model("opt").hf_model, tokens(), [Site("resid_pre", 1)])
    with pytest.raises(Refusal, match="opt: its mlp_out has no axis of texts"):
        activations(tiny_model("opt").hf_model, tokens(), [Site("mlp_out", 1)])


def test_what_the_neurons_add_up_to_is_what_the_mlp_writes():
    model, ids = tiny.model(), torch.randint(0, 256, (2, 9), generator=torch.Generator().manual_seed(0))
    found = activations(model, ids, [Site("mlp_post", 1), Site("mlp_out", 1)])
    written = found[Site("mlp_post", 1)] @ model.model.layers[1].mlp.down_proj.weight.T
    assert torch.allclose(written, found[Site("mlp_out", 1)], atol=1e-5)


def test_layers_above_the_highest_site_are_not_run():
    model, seen = tiny.model(), []
    with at_site(model, Site("resid_pre", 2), seen.append):
        activations(model, torch.zeros(1, 4, dtype=torch.long), [Site("resid_pre", 1)])
    assert seen == []


def test_a_block_holds_each_position_but_the_first_once():
    one = stream()
    whole = activations(one.hf_model, one.windows(2), one.sites)
    for site, rows in one.block(2).items():
        expected = whole[site][:, 1:].flatten(0, 1)
        assert rows.shape == expected.shape == (one.tokens_per_block, site.width(one.hf_model))
        assert not torch.equal(rows, expected)
        assert torch.allclose(rows.sum(dim=0), expected.sum(dim=0), atol=1e-3)
    order = [(rows[:, :1] == whole[site][:, 1:].flatten(0, 1)[:, 0]).float().argmax(dim=1) for site, rows in
             one.block(2).items()]  # fmt: skip
    assert torch.equal(*order)  # all sites in the same order


def test_a_block_is_the_same_wherever_one_enters():
    again = stream().block(3)
    for site, rows in stream().block(3).items():
        assert torch.equal(rows, again[site])
    other = stream(seed=4).block(3)
    assert not torch.equal(next(iter(other.values())), next(iter(again.values())))
    assert stream().n_blocks == 6


def test_activations_that_are_not_finite_are_refused():
    broken = tiny.model(seed=9)
    broken.model.layers[0].mlp.down_proj.weight.data[0, 0] = float("nan")
    with pytest.raises(Refusal, match=r"of resid_pre.1 are not all finite \(block 0, window 0, position 1"):
        stream(broken).block(0)


@pytest.mark.parametrize("text", ["resid_post.3", "resid_pre", "resid_pre.x", "3"])
def test_a_hook_point_that_is_none_is_refused(text):
    with pytest.raises(Refusal, match=r"is no hook point; one reads like resid_pre\.6"):
        Site.parse(text)


def test_a_layer_that_is_not_there_is_refused():
    assert str(Site.parse("mlp_post.2")) == "mlp_post.2"
    with pytest.raises(Refusal, match=r"resid_pre\.7: the model has 3 layers, counted from 0"):
        activations(tiny.model(), torch.zeros(1, 3, dtype=torch.long), [Site("resid_pre", 7)])


def test_normalised_inputs_have_the_norm_of_their_width():
    x = 7 * torch.randn(100, 16, generator=torch.Generator().manual_seed(0))
    assert (x * scale_of(x)).norm(dim=1).mean().item() == pytest.approx(4, rel=1e-5)


def test_the_geometric_median_does_not_follow_an_outlier():
    x = torch.randn(201, 3, generator=torch.Generator().manual_seed(0))
    far = torch.cat([x, torch.full((3, 3), 1e4)])
    assert geometric_median(far).norm() < 0.5 < far.mean(dim=0).norm()

    def distance(at):
        return (far - at).norm(dim=1).sum()

    best = geometric_median(far, steps=100)
    assert all(distance(best) <= distance(best + step) + 1e-2 for step in 0.05 * torch.eye(3))
