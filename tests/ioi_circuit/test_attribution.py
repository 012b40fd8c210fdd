"""Direct attribution equals TransformerLens' on folded weights, and its parts add up to the logit difference."""

import copy

import pytest
import torch
import transformers
from ioi_circuit.conftest import circuit_prompts
from tiny_models import VOCABULARY, tiny_model
from tokenizers import Tokenizer, models

from replications.ioi_circuit import anatomy as anatomies
from replications.ioi_circuit import attribution
from replications.ioi_circuit.anatomy import recorded, seen_through

PROMPTS = circuit_prompts(6, widths=(9,))
IO, S = (torch.tensor([getattr(prompt, name) for prompt in PROMPTS]) for name in ("io_id", "s_id"))
IDS = [prompt.ids for prompt in PROMPTS]


def biased(architecture):
    """The tiny model with norms and layers that scale and shift: as initialised they do neither."""
    model = copy.deepcopy(tiny_model(architecture).hf_model)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


def bridge_of(model):
    from transformer_lens.model_bridge import TransformerBridge  # takes seconds

    model = copy.deepcopy(model)
    model.config.architectures = [type(model).__name__]
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(VOCABULARY)}, unk_token="w0"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w2", pad_token="w2")
    return TransformerBridge.boot_transformers(
        "tiny/biased", hf_model=model, tokenizer=tokenizer, dtype=torch.float32, device="cpu"
    ).eval()


@pytest.fixture
def shifted(architecture):
    model = biased(architecture)
    return anatomies.anatomy(model)


def difference_of(model):
    with torch.inference_mode():
        logits = model(torch.tensor(IDS)).logits[:, -1]
    return (logits.gather(1, IO[:, None]) - logits.gather(1, S[:, None]))[:, 0]


def attributed(anatomy):
    return attribution.attribute(anatomy, recorded(anatomy, IDS, attribution.SITES), IO, S)


def test_the_parts_add_up_to_the_logit_difference(shifted):
    parts, difference = attributed(shifted), difference_of(shifted.stack.model)
    assert difference.std() > 0.1
    torch.testing.assert_close(attribution.total(parts), difference, atol=2e-5, rtol=1e-5)
    lens = attribution.lens(parts)
    torch.testing.assert_close(lens["pre"][-1] + parts["attn"][-1] + parts["mlp"][-1], difference, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(lens["mid"][0], parts["embed"] + parts["bias"] + parts["attn"][0])


def test_the_heads_add_up_to_their_layer_but_for_the_output_bias(shifted):
    parts, made = attributed(shifted), recorded(shifted, IDS, attribution.SITES)
    direction = seen_through(shifted.final, made.answer_state,
                             shifted.stack.head.weight[IO] - shifted.stack.head.weight[S])  # fmt: skip
    for layer, z in enumerate(made.site("z")):
        wrote = torch.einsum("nhe,hed->nd", z[:, -1], shifted.w_o[layer])
        rest = made.site("attn_out")[layer][:, -1] - wrote
        if shifted.attn_norm(layer) is not None:
            rest = 0 * rest
        torch.testing.assert_close(rest, rest[:1].expand_as(rest), atol=1e-5, rtol=0)  # the bias: alike in all prompts
        whole = parts["heads"][layer].sum(0) + (rest * direction).sum(-1)
        torch.testing.assert_close(whole, parts["attn"][layer], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "qwen2", "gpt_neox"])
def test_attribution_equals_transformer_lens(architecture, shifted):
    """Their helper wants the norms folded into the weights, which changes no logit difference."""
    from transformer_lens.tools.analysis import direct_logit_attribution

    folded = bridge_of(shifted.stack.model)
    folded.enable_compatibility_mode(disable_warnings=True, fold_value_biases=False)  # those are moved by heads
    options = {"answer_tokens": IO, "incorrect_tokens": S}
    theirs = direct_logit_attribution(folded, torch.tensor(IDS), unit="head", **options).attribution[:12]
    parts = attributed(shifted)
    assert parts["heads"].std() > 0.01
    torch.testing.assert_close(parts["heads"].flatten(0, 1), theirs, atol=2e-4, rtol=1e-3)


def test_the_norm_seen_from_its_output(shifted):
    x, w = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        seen = seen_through(shifted.final, x, w)
        wanted = ((shifted.final(x) - shifted.final(0 * x)) * w).sum(-1)
    torch.testing.assert_close((x * seen).sum(-1), wanted, atol=1e-5, rtol=1e-4)


def test_an_encoder_is_refused():
    model = tiny_model("bert")
    with pytest.raises(ValueError, match="next token"):
        anatomies.anatomy(model.hf_model)


def test_capped_logits_are_refused(monkeypatch):
    model = tiny_model("gemma3")
    monkeypatch.setattr(model.hf_model.config, "final_logit_softcapping", 30.0)
    with pytest.raises(ValueError, match="not a sum over heads"):
        anatomies.anatomy(model.hf_model)
