"""The update does what its derivation says."""

import pytest
import torch
from rome_editing import oracle
from sharded import Kept

from replications.models.families import projection
from replications.rome_editing.editing import VARIANTS, Editor
from replications.rome_editing.edits import directions, multiplier, random_like, relative_norm
from replications.rome_editing.hparams import HParams, compared_layers, edit_layer, hparams
from replications.rome_editing.moments import second_moments
from replications.rome_editing.packed import open_model
from replications.rome_editing.projection import add_rank_one, restored
from replications.rome_editing.values import Search

LAYER = 1
WINDOWS = torch.randint(3, 61, (40, 16), generator=torch.Generator().manual_seed(1))


def editor_of(architecture):
    model = oracle.hf_model(architecture)
    hp = HParams(relative=True, steps=3)
    moments = second_moments(model, WINDOWS, [LAYER])
    return Editor(open_model(model), moments, hp, Kept(), "test", batch=2, seed=0)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma3", "gptj"])
def test_the_edited_weight_maps_the_key_to_the_value(architecture):
    editor = editor_of(architecture)
    values = Search(editor.model, oracle.facts(2, 3), [LAYER], editor.hp).find(LAYER)
    module = projection(editor.model.hf_model, LAYER)
    for variant, key in (("rome", values.bare_key), ("r_rome", values.mean_key)):
        u, lam = editor.update(LAYER, values, variant)
        for i in range(2):
            with restored(module), torch.no_grad():
                add_rank_one(module, u[i], lam[i])
                torch.testing.assert_close(module(key[i]), values.target[i], atol=1e-4, rtol=1e-4)


def test_released_rome_misses_the_mean_key_and_r_rome_the_bare_one():
    editor = editor_of("llama")
    values = Search(editor.model, oracle.facts(2, 3), [LAYER], editor.hp).find(LAYER)
    module = projection(editor.model.hf_model, LAYER)
    for variant, other in (("rome", values.mean_key), ("r_rome", values.bare_key)):
        u, lam = editor.update(LAYER, values, variant)
        with restored(module), torch.no_grad():
            add_rank_one(module, u[0], lam[0])
            assert not torch.allclose(module(other[0]), values.target[0], atol=1e-2)


def test_with_the_bare_prompt_alone_the_two_variants_are_one():
    editor = editor_of("qwen2")
    values = Search(editor.model, oracle.facts(3, 1), [LAYER], editor.hp).find(LAYER)
    rome, r_rome = (editor.update(LAYER, values, variant) for variant in ("rome", "r_rome"))
    torch.testing.assert_close(rome, r_rome)


def test_a_random_value_is_as_far_away_as_the_found_one():
    editor = editor_of("llama")
    values = Search(editor.model, oracle.facts(3, 2), [LAYER], editor.hp).find(LAYER)
    updates = {variant: editor.update(LAYER, values, variant) for variant in VARIANTS}
    assert all(torch.equal(u, updates["rome"][0]) for u, _ in updates.values())
    drawn = random_like(values.delta, torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.norm(dim=-1), values.delta.norm(dim=-1))
    assert torch.nn.functional.cosine_similarity(drawn, values.delta).abs().max() < 0.7


def test_directions_solve_the_linear_system():
    half = torch.randn(20, 9)
    moment, keys = half.T @ half / 20, torch.randn(3, 9)
    torch.testing.assert_close(directions(moment, keys) @ moment, keys, atol=1e-3, rtol=1e-3)


def test_a_singular_moment_gets_a_small_ridge():
    half = torch.randn(4, 9)
    moment, keys = half.T @ half / 4, half[:2]
    u = directions(moment, keys)
    assert u.isfinite().all()
    torch.testing.assert_close(u @ moment, keys, atol=1e-2, rtol=1e-2)  # these keys lie in what C spans


def test_of_all_weights_that_hold_the_new_pair_it_changes_old_keys_least():
    """Λ(C⁻¹k)ᵀ is the least-squares solution: any other update with the same effect on k moves the old keys more."""
    old = torch.randn(50, 6, dtype=torch.float64)
    key, value, target = (torch.randn(1, n, dtype=torch.float64) for n in (6, 4, 4))
    u = directions(old.T @ old / 50, key)
    update = multiplier(u, key, value, target).T @ u
    torch.testing.assert_close(update @ key[0], (target - value)[0])
    for _ in range(5):
        away = torch.randn(4, 6, dtype=torch.float64)
        away -= torch.outer(away @ key[0], key[0]) / key[0].dot(key[0])  # does nothing to the key
        assert (old @ update.T).norm() <= (old @ (update + 0.1 * away).T).norm()


def test_relative_norm_is_that_of_the_outer_product():
    u, lam, weight = torch.randn(2, 5), torch.randn(2, 3), torch.randn(5, 3)
    theirs = torch.stack([torch.outer(*pair).norm() for pair in zip(u, lam, strict=True)]) / weight.norm()
    torch.testing.assert_close(relative_norm(u, lam, weight), theirs)


def test_second_moments_are_those_of_the_keys():
    model = oracle.hf_model("gpt2")
    found = second_moments(model, WINDOWS[:10], [0, 1])
    keys = {0: [], 1: []}
    handles = [
        projection(model, layer).register_forward_pre_hook(lambda _, inputs, layer=layer: keys[layer].append(inputs[0]))
        for layer in keys
    ]
    with torch.no_grad():
        model(WINDOWS[:10])
    for handle in handles:
        handle.remove()
    for layer, seen in keys.items():
        k = seen[0].reshape(-1, seen[0].shape[-1])
        torch.testing.assert_close(found[layer], k.T @ k / len(k), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("model", "layers", "wanted"), [
    ("gpt2-xl", 48, 17), ("gpt2-medium", 24, 8), ("gpt2-large", 36, 12), ("gpt-j-6b", 28, 5),
    ("smollm2-135m", 30, 11), ("gemma-3-270m", 18, 6),
])  # fmt: skip
def test_the_layer_is_the_published_one_or_at_its_depth(model, layers, wanted):
    assert edit_layer(model, layers) == wanted


def test_hyper_parameters_are_the_papers_own_on_its_models():
    assert not hparams("gpt2-xl").relative
    assert hparams("gpt2-medium").clamp == 3
    assert hparams("smollm2-135m").relative
    assert hparams("smollm2-135m").clamp == 4


def test_layers_of_hase_et_al_on_their_own_model_are_theirs():
    assert compared_layers("gpt-j-6b", 28, [1, 5, 6, 9, 13, 17, 21, 25, 28]) == [0, 4, 5, 8, 12, 16, 20, 24, 27]
    assert compared_layers("gemma-3-270m", 18, [1, 6, 13, 21, 28]) == [0, 6, 8, 13, 17]
