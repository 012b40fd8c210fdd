"""Noise by the two rules, measured where it is added."""

import pytest
import torch
from rome_tracing.conftest import tiny_loaded

from replications.causal.stack import Stack
from replications.rome_tracing import corruption
from replications.rome_tracing.study import prepare

PARAMS = {"seed": 4, "n_asked": None, "n_facts": 3, "n_pairs": 2, "every_column": False}


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2"])
def test_sigma_is_that_of_what_the_embedding_returns(architecture):
    loaded = tiny_loaded(architecture)
    table = loaded.hf_model.get_input_embeddings().weight
    factor = 32**0.5 if architecture == "gemma3" else 1  # Gemma reads its words times the root of the width
    words = table[[3, 4, 5, 5]] * factor
    found = corruption.embedding_std(loaded, Stack(loaded.hf_model), ["w3 w4", "w5", "w5"])
    assert found == pytest.approx(words.std().item(), rel=1e-5)


def test_the_two_rules_read_subjects_and_sentences(loaded):
    stack = Stack(loaded.hf_model)
    found = corruption.scales(loaded, stack, ["w3"], ["w3 w4 w5"])
    assert found["subjects"] == pytest.approx(3 * stack.words(torch.tensor([3])).std().item())
    assert found["text"] == pytest.approx(3 * stack.words(torch.tensor([3, 4, 5])).std().item())


def test_noise_is_a_facts_own_and_always_the_same(loaded, facts):
    stack = Stack(loaded.hf_model)
    first, second, _ = prepare("facts", facts, loaded, " ", PARAMS).facts

    def draw(fact, scale=0.5):
        return corruption.added_noise(stack, fact, fact.known.subject, scale, 2, 4, "cpu")

    assert torch.equal(draw(first), draw(first))
    torch.testing.assert_close(draw(first, 1.0), 2 * draw(first))
    ours, theirs = (draw(fact)[:, fact.known.subject[0]] for fact in (first, second))
    assert not torch.equal(ours, theirs)
    outside = [i for i in range(len(first.known.encoded.ids)) if i not in first.known.subject]
    assert (draw(first)[:, outside] == 0).all()
    assert (draw(first)[:, first.known.subject] != 0).all()
