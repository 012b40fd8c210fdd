"""Many prompts at once say what each says alone, in every family and any order."""

import pytest
import tiny_models
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from replications.models import predict

PROMPTS = st.lists(st.lists(st.integers(3, tiny_models.VOCABULARY - 1), min_size=1, max_size=9), max_size=12)


def alone(model, prompt) -> torch.Tensor:
    """Logits after one prompt: TransformerLens' bridge, the whole forward pass."""
    with torch.inference_mode():
        return model.bridge(torch.tensor([prompt]))[0, -1]


@pytest.mark.parametrize("architecture", tiny_models.DECODERS)
def test_batches_agree_with_one_prompt_at_a_time(architecture):
    model = tiny_models.tiny_model(architecture)
    prompts, _, _ = tiny_models.random_pairs([5, 3, 5, 9, 1, 3], changed=())
    want = torch.stack([alone(model, prompt) for prompt in prompts])
    assert predict.greedy(model, prompts) == want.argmax(dim=-1).tolist()
    answers = [(7, 3 + i) for i in range(len(prompts))]
    got = predict.probabilities(model, prompts, answers)
    assert torch.allclose(got, want.softmax(dim=-1).gather(1, torch.tensor(answers)), atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(PROMPTS, st.integers(1, 30))
def test_neither_order_nor_batch_size_matters(prompts, tokens):
    model = tiny_models.tiny_model("llama")
    want = predict.greedy(model, prompts)
    assert predict.greedy(model, prompts[::-1]) == want[::-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict, "TOKENS", tokens)
        patch.setattr(predict, "LOGITS", 2 * tiny_models.VOCABULARY)
        batches = list(predict.next_logits(model, prompts))
        assert predict.greedy(model, prompts) == want
    assert all(len(rows) <= 2 for rows, _ in batches)
    assert sorted(row for rows, _ in batches for row in rows.tolist()) == list(range(len(prompts)))


def test_probabilities_of_the_whole_vocabulary_sum_to_one():
    model, prompts = tiny_models.tiny_model("gemma3"), [[5, 6, 7], [8]]
    everything = [range(tiny_models.VOCABULARY)] * 2
    assert torch.allclose(predict.probabilities(model, prompts, everything).sum(dim=1), torch.ones(2))


def test_no_prompts_have_no_answers():
    model = tiny_models.tiny_model("llama")
    assert predict.greedy(model, []) == []
    assert predict.probabilities(model, [], []).numel() == 0
