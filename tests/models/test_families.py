"""Every adapter, on tiny models of its own: where parts are, what layers need, what is loaded and what is silenced.

That maps, paths, knock-outs and edits are right for every family, tests/causal and tests/rome_editing say, over the
same models; tests/probing and tests/dictionaries likewise.
"""

import copy
import pkgutil
import subprocess
import sys

import pytest
import torch
import transformers
from tiny_models import CONFIGS, DECODERS, ENCODERS, FAMILY, random_pairs, tiny_model

from replications.causal.runs import run
from replications.causal.stack import Stack
from replications.models import families
from replications.models.families import FAMILIES

TOKENS = torch.tensor(random_pairs([9, 9], ())[0])
EVERY = list({id(family): family for family in FAMILIES.values()}.values())


def recorded(architecture, sites=("z",)):
    stack = Stack(tiny_model(architecture).hf_model)
    return stack, run(stack, TOKENS, sites=sites)


@pytest.mark.parametrize("architecture", CONFIGS)
def test_logits_are_transformers_own(architecture):
    stack, made = recorded(architecture)
    with torch.inference_mode():
        ours, theirs = stack.logits(made.resid_pre[-1]), stack.model(TOKENS).logits
        bridged = tiny_model(architecture).bridge(TOKENS)
        parts = torch.cat(list(stack.logits_by_part(made.answer_state, 17)), dim=-1)
        some = stack.logits_of(made.answer_state, TOKENS)
    last = theirs[:, -1]
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    torch.testing.assert_close(bridged, theirs, atol=1e-4, rtol=0)
    torch.testing.assert_close(parts, last, atol=1e-4, rtol=0)
    torch.testing.assert_close(some, last.gather(1, TOKENS), atol=1e-4, rtol=0)


@pytest.mark.parametrize("architecture", CONFIGS)
def test_head_outputs_add_up_to_what_attention_writes_but_for_its_bias(architecture):
    stack, made = recorded(architecture)
    wrote = []
    for index, layer in enumerate(stack.layers):
        module = layer.get_submodule(stack.family.attn_proj)
        with torch.inference_mode():
            heads = torch.einsum("nthe,hed->ntd", made.site("z")[index], stack.family.w_o(stack.model, index))
            with module.register_forward_hook(lambda _, inputs, out: wrote.append(out)):
                stack.model(TOKENS)
        bias = 0 if module.bias is None else module.bias.detach()
        torch.testing.assert_close(heads + bias, wrote[-1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", DECODERS)
def test_attention_adds_to_the_stream_what_it_writes_through_its_norm(architecture):
    stack, made = recorded(architecture, ("z", "attn_out"))
    for index, layer in enumerate(stack.layers):
        bias = layer.get_submodule(stack.family.attn_proj).bias
        with torch.inference_mode():
            whole = torch.einsum("nthe,hed->ntd", made.site("z")[index], stack.family.w_o(stack.model, index))
            whole = whole if bias is None else whole + bias
            if stack.family.attn_norm is not None:
                whole = layer.get_submodule(stack.family.attn_norm)(whole)
        torch.testing.assert_close(whole, made.site("attn_out")[index], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", DECODERS)
def test_what_is_added_in_a_layer_is_all_that_is_added(architecture):
    _, made = recorded(architecture, ("attn_out", "mlp_out"))
    for index, (attn, mlp) in enumerate(zip(made.site("attn_out"), made.site("mlp_out"), strict=True)):
        torch.testing.assert_close(made.resid_pre[index] + attn + mlp, made.resid_pre[index + 1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", CONFIGS)
def test_padding_on_the_left_changes_nothing(architecture):
    stack, short = Stack(tiny_model(architecture).hf_model), TOKENS[:1, 3:]
    padded = torch.cat([torch.zeros(1, 4, dtype=torch.long), short], dim=1)
    mask = torch.arange(padded.shape[1])[None] >= 4
    alone, beside = run(stack, short), run(stack, padded, mask)
    torch.testing.assert_close(beside.answer_state, alone.answer_state, atol=1e-4, rtol=1e-4)


def is_capped(architecture):
    family, config = FAMILY[architecture], transformers.AutoConfig.for_model(**CONFIGS[architecture])
    return bool(family.score_cap(config) or family.logit_cap(config))


@pytest.mark.parametrize("cap", ["score_cap", "logit_cap"])
def test_a_cap_matters(cap):
    """So that the comparisons with transformers see it."""
    capped = list(filter(is_capped, CONFIGS))
    assert capped
    for architecture in capped:
        stack, made = recorded(architecture)
        free = Stack(stack.model)
        setattr(free, cap, None)
        with torch.inference_mode():
            ours, other = stack.logits(made.answer_state), free.logits(run(free, TOKENS).answer_state)
        assert (ours - other).abs().max() > 0.01, architecture


def test_a_window_and_a_speed_of_its_own_matter():
    for architecture in ("qwen3", "mistral", "gemma2", "gemma3"):
        stack = Stack(tiny_model(architecture).hf_model)
        assert stack.window == 4 < TOKENS.shape[1]
        assert families.SLIDING in stack.kinds
    *_, speeds = zip(*recorded("gemma3")[1].frame.rotary.items(), strict=True)
    assert not torch.equal(speeds[0][0], speeds[1][0])


@pytest.mark.parametrize("family", EVERY, ids=lambda family: type(family).__name__)
def test_every_type_of_every_family_has_a_tiny_model_and_classes(family):
    assert {config["model_type"] for config in family.tiny.values()} == set(family.model_types)
    for name in (*family.classes, *family.headless):
        assert getattr(transformers, name).config_class.model_type in family.model_types
        assert families.of_class(name) is family
    assert set(family.headless.values()) <= set(family.classes)
    assert len(family.classes) == len(family.model_types)


def test_no_two_families_are_for_the_same_type():
    types = [kind for family in EVERY for kind in family.model_types]
    assert sorted(types) == sorted(FAMILIES)
    assert len({name for family in EVERY for name in family.tiny}) == sum(len(family.tiny) for family in EVERY)


def test_the_face_imports_every_adapter():
    named = {module.name for module in pkgutil.iter_modules(families.__path__)}
    assert named == {module.rpartition(".")[2] for module in sys.modules if module.startswith(f"{families.__name__}.")}


@pytest.mark.parametrize("architecture", ENCODERS)
def test_an_encoders_text_ends_where_its_positions_do(architecture):
    stack = Stack(tiny_model(architecture).hf_model)
    reach = stack.family.reach(stack.config)
    with torch.inference_mode():
        stack.model(torch.full((1, reach), 5))
        with pytest.raises((IndexError, RuntimeError)):
            stack.model(torch.full((1, reach + 1), 5))


def test_variants_with_other_layers_are_not_supported():
    model = copy.copy(tiny_model("bert").hf_model)
    assert families.supports(model)
    for flag in ("is_decoder", "use_bidirectional_attention", "add_cross_attention"):
        model.config = copy.deepcopy(tiny_model("bert").hf_model.config)
        setattr(model.config, flag, True)
        assert not families.supports(model)
    assert not families.supports(tiny_model("gpt2").hf_model.base_model)


def test_gptj_attends_by_itself_again_afterwards():
    stack, _ = recorded("gptj")
    assert all("_attn" not in vars(layer.attn) for layer in stack.layers)


def test_nothing_heavy_is_imported_to_ask_which_families_there_are():
    code = "import sys, replications.models.families\nassert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
