"""A tiny world: a random model, words as its tokens, and facts that it knows because their objects are what it says."""

from types import SimpleNamespace

import pytest
import torch
import transformers
from tiny_models import VOCABULARY, tiny_model
from tokenizers import Tokenizer, models, pre_tokenizers

from replications.stimuli.facts import Fact, Relation

FRAMES = {"likes": "w50 {subject} w51 w52", "lives": "w40 w41 {subject} w42 w43 w44"}


def tokenizer():
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(VOCABULARY)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<eos>", pad_token="<eos>")


def tiny_loaded(architecture="llama"):
    """What `load_model` returns, as far as tracing looks at it."""
    tiny = tiny_model(architecture)
    entry = SimpleNamespace(id=f"tiny-{architecture}", kind="decoder")
    return SimpleNamespace(
        hf_model=tiny.hf_model, bridge=tiny.bridge, tokenizer=tokenizer(), entry=entry, bos_id=1, eos_id=None
    )


def says(loaded, text):
    ids = [loaded.bos_id, *loaded.tokenizer(text, add_special_tokens=False)["input_ids"]]
    with torch.inference_mode():
        return loaded.hf_model(torch.tensor([ids])).logits[0, -1].argmax().item()


def tiny_facts(loaded, n=12):
    """n facts per relation with subjects of one to three words; the first of each relation is wrong."""
    facts = []
    for name, frame in FRAMES.items():
        relation = Relation(name, "P1", frame, ())
        for i in range(n):
            subject = " ".join(f"w{3 + (7 * i + 3 * j + len(name)) % 36}" for j in range(1 if i == 5 else 3 - i % 2))
            said = says(loaded, frame.replace("{subject}", subject))
            answer = said if i else (said + 1) % VOCABULARY
            facts.append(Fact(f"{name}.{i}", relation, subject, f"w{answer}", f"made up {i}"))
    return tuple(facts)


@pytest.fixture(scope="session")
def loaded():
    return tiny_loaded()


@pytest.fixture(scope="session")
def facts(loaded):
    return tiny_facts(loaded)
