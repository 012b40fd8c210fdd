"""Tiny models, and prompts of random tokens for them."""

import pytest
import torch
from sharded import Kept
from tiny_models import tiny_model

from replications.ioi_circuit import anatomy
from replications.ioi_circuit.stimuli import CircuitPrompt

DECODERS = ("llama", "gemma3", "qwen2", "gpt2", "gptj", "gpt_neox", "opt")
WIDTHS = (9, 11)


@pytest.fixture(params=DECODERS)
def architecture(request):
    return request.param


@pytest.fixture
def tiny(architecture):
    model = tiny_model(architecture)
    return anatomy.anatomy(model.hf_model)


@pytest.fixture
def keep():
    """Shards that are kept nowhere."""
    return Kept()


def circuit_prompts(n, seed=0, widths=WIDTHS):
    """Random tokens with the shape of prompts: io, s at two places, s again, and a twin with three other names."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for i in range(n):
        width, order = widths[i % len(widths)], ("ABBA", "BABA")[i // len(widths) % 2]
        words = torch.randint(40, 61, (width,), generator=generator).tolist()
        io, s, *others = (3 + torch.randperm(30, generator=generator)[:5]).tolist()
        first, second, again = (2, 4, width - 3)
        io_at, s1_at = (first, second) if order == "ABBA" else (second, first)
        ids, abc = list(words), list(words)
        for at, name in ((io_at, io), (s1_at, s), (again, s)):
            ids[at] = name
        for at, name in zip((first, second, again), others, strict=True):
            abc[at] = name
        made.append(CircuitPrompt(i % len(widths), order, f"w{io}", f"w{s}", " ".join(f"w{t}" for t in ids), tuple(ids),
                                  tuple(abc), io_at, s1_at, again, io, s))  # fmt: skip
    return made
