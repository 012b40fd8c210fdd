"""Tiny models, prompts of random tokens with the shape of IOI prompts, and a circuit that uses every class."""

import sys
from types import SimpleNamespace

import pytest
import torch
from sharded import Kept
from tiny_models import tiny_model

from replications.causal.stack import Stack
from replications.ioi_circuit.stimuli import CircuitPrompt
from replications.ioi_faithfulness import experiments
from replications.ioi_faithfulness.circuits import Circuit

WIDTHS = (9, 11)
CLASSES = {
    "name_mover": ((2, 0), (2, 1)),
    "negative_name_mover": ((2, 3),),
    "s_inhibition": ((1, 0),),
    "induction": ((1, 1),),
    "duplicate_token": ((0, 2),),
    "previous_token": ((0, 3),),
    "backup_name_mover": ((2, 2), (1, 1)),
}
PARAMS = {
    "seed": 7, "n_prompts": 8, "n_means": 4, "n_adversarial": 6, "random_circuits": 12, "random_sets": 5,
    "greedy_runs": 2, "greedy_steps": 2, "greedy_candidates": 3, "resamples": 60,
}  # fmt: skip


@pytest.fixture(scope="session")
def helpers():
    """The builders of this file."""
    return sys.modules[__name__]


def prompts(n, seed=0, widths=WIDTHS):
    """Prompts of two templates and both orders in turn; the names are tokens 3 to 39, other words 40 and above."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for i in range(n):
        template, order = i % 2, ("ABBA", "BABA")[i // 2 % 2]
        ids = torch.randint(40, 61, (widths[template],), generator=generator).tolist()
        abc = list(ids)
        io, s, *others = (3 + torch.randperm(36, generator=generator)[:5]).tolist()
        io_at, s1_at = (2, 4) if order == "ABBA" else (4, 2)
        s2_at = len(ids) - 3
        for at, name, other in zip((io_at, s1_at, s2_at), (io, s, s), others, strict=True):
            ids[at], abc[at] = name, other
        text = " ".join(f"w{token}" for token in ids)
        made.append(CircuitPrompt(template, order, f"w{io}", f"w{s}", text, tuple(ids), tuple(abc), io_at, s1_at, s2_at,
                                  io, s))  # fmt: skip
    return made


def setting(architecture="llama", n=8, classes=CLASSES):
    """A tiny model with its bench of n prompts and the circuit."""
    tiny, made = tiny_model(architecture), prompts(16)
    stack = Stack(tiny.hf_model)
    setup = experiments.prepare(stack, made[:n], made, "cpu")
    return SimpleNamespace(tiny=tiny, stack=stack, twins=made, prompts=made[:n], setup=setup, bench=setup.bench,
                           circuit=Circuit(classes))  # fmt: skip


keep = Kept()
