"""Edited runs against plain forward passes with a hook, and a planted model that uses one direction only."""

import pytest
import torch
from layer_probing import made_up

from replications.causal.stack import Stack
from replications.errors import Refusal
from replications.layer_probing import causal_check, minimal_pair
from replications.layer_probing.minimal_pair import Fitted
from replications.layer_probing.probe_series import Plan
from replications.layer_probing.stimuli import Place

IDS = [[1, 5, 9, 12, 7], [1, 30, 8, 6], [1, 4, 4, 17, 40, 22]]
FIRST = [3, 2, 5]
NOUNS, VERBS = [12, 13, 14], [8, 9]


@pytest.fixture(params=["llama", "gemma3", "gpt2"])
def model(request):
    return made_up.loaded(request.param)


def plain(model, ids, end, layer=None, value=None):
    """log P of the token at `end` and log odds of VERBS against NOUNS by transformers, with the state entering a layer
    at the last position replaced."""
    body = model.hf_model.base_model
    blocks = body.h if hasattr(body, "h") else body.layers

    def replace(_, args, kwargs):
        hidden = args[0] if args else kwargs["hidden_states"]
        hidden[0, -1] = value

    hook = blocks[layer].register_forward_pre_hook(replace, with_kwargs=True) if value is not None else None
    with torch.inference_mode():
        logits = model.hf_model(torch.tensor([ids[:end]])).logits[0, -1]
    if hook:
        hook.remove()
    p = logits.double().softmax(-1)
    return p[ids[end]].log().item(), (p[VERBS].sum() / p[NOUNS].sum()).log().item()


def made_prompts():
    return causal_check.prompts(IDS, FIRST, NOUNS, VERBS)


def test_unedited_runs_are_the_models_own(model):
    made, stack = made_prompts(), Stack(model.hf_model)
    found = causal_check.unedited(stack, causal_check.base_run(stack, made), made)
    wanted = [plain(model, *row) for row in zip(IDS, FIRST, strict=True)]
    assert found.T.numpy() == pytest.approx(torch.tensor(wanted).numpy(), abs=1e-4)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_edited_runs_are_forward_passes_with_a_hook(model, layer, monkeypatch):
    monkeypatch.setattr(causal_check, "CELLS", 4)
    made, stack = made_prompts(), Stack(model.hf_model)
    states = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(layer))
    found = causal_check.edited(stack, causal_check.base_run(stack, made), made, layer, states)
    wanted = [[plain(model, ids, end, layer, value) for ids, end, value in zip(IDS, FIRST, some, strict=True)]
              for some in states]  # fmt: skip
    assert found.permute(1, 2, 0).numpy() == pytest.approx(torch.tensor(wanted).numpy(), abs=1e-4)


def test_putting_back_what_was_there_changes_nothing(model):
    made, stack = made_prompts(), Stack(model.hf_model)
    base = causal_check.base_run(stack, made)
    for layer in range(3):
        same = base.resid_pre[layer][:, -1][None]
        found = causal_check.edited(stack, base, made, layer, same)[:, 0]
        assert torch.allclose(found, causal_check.unedited(stack, base, made), atol=1e-4)


def test_prompts_end_before_the_word():
    made = made_prompts()
    assert made.tokens.tolist() == [[0, 0, 1, 5, 9], [0, 0, 0, 1, 30], [1, 4, 4, 17, 40]]
    assert made.mask.sum(dim=1).tolist() == FIRST
    assert made.answers.tolist() == [12, 8, 22]


def test_refuses_a_word_that_nothing_stands_before():
    with pytest.raises(Refusal, match="nothing before it"):
        causal_check.prompts([[5, 6]], [0], NOUNS, VERBS)


def test_an_encoder_without_a_head_is_only_probed():
    assert not causal_check.has_head(made_up.loaded("bert"))
    assert causal_check.has_head(made_up.loaded("llama"))


def test_edited_layers_are_spread_over_all():
    assert minimal_pair.layers_to_edit(30, 5) == [0, 7, 14, 22, 29]
    assert minimal_pair.layers_to_edit(3, 10) == [0, 1, 2]


def places(n):
    """Noun and verb in turn, of n types."""
    split = ["train"] * (n // 2) + ["dev"] * (n // 4) + ["test"] * (n - n // 2 - n // 4)
    return [Place(("w3", f"w{i}"), 1, label, split[i], f"{i}{label}") for i in range(n) for label in (0, 1)]


def test_removal_takes_from_a_probe_what_a_random_subspace_leaves():
    some = places(200)
    labels = minimal_pair.labels_of(some)
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(1, len(some), 30, generator=generator)
    states[..., 4] += 4 * labels
    train, dev, test = (minimal_pair.of_split(some, split) for split in ("train", "dev", "test"))
    fitted = Fitted(states[:, train], labels[train], states[:, dev], labels[dev], 0.1)
    bases = fitted.bases(6, 2, generator)
    found = fitted.accuracies(bases, states[:, test], labels[test])
    assert found["probe"] > 0.95
    assert found["probe_inlp"] < 0.65
    assert found["probe_random"] > 0.85
    assert found["rank"] == bases["inlp"][0].shape[2] == bases["inlp_random"][0].shape[2] <= 6
    assert len(bases["means_random"]) == 2


def test_every_condition_is_measured_at_every_layer():
    model = made_up.loaded("llama")
    some, stack = places(24), Stack(model.hf_model)
    test = [place for place in some if place.split == "test"]
    made = causal_check.prompts([[1, 3 + i, 5 + i] for i in range(len(test))], [2] * len(test), NOUNS, VERBS)
    states = torch.randn(2, len(some), 32, generator=torch.Generator().manual_seed(0))
    found = minimal_pair.check_use(stack, made, states, some, [0, 2], rank=2, draws=2, plan=Plan(0.1, 2, 0, False))
    for name in ("clean", "means", "means_random", "inlp", "inlp_random"):
        assert found[name].shape == (2, 2, len(test))
        assert (found[name][:, 0] < 0).all()
    odds = causal_check.unedited(stack, causal_check.base_run(stack, made), made)[1]
    assert torch.allclose(found["clean"][0, 1, 1::2], odds[1::2])  # verbs
    assert torch.allclose(found["clean"][0, 1, ::2], -odds[::2])  # nouns
    assert torch.equal(found["clean"][0], found["clean"][1])
    assert found["rank"].tolist() == [1, 1] or (found["rank"] <= 2).all()
