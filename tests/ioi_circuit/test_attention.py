"""Attention equals the patterns that TransformerLens shows, from position to position and along stripes."""

import pytest
import torch
from ioi_circuit.conftest import circuit_prompts
from tiny_models import VOCABULARY, tiny_model

from replications.ioi_circuit import attention
from replications.ioi_circuit.anatomy import recorded


def theirs(architecture, ids):
    bridge = tiny_model(architecture).bridge
    with torch.inference_mode():
        _, cache = bridge.run_with_cache(torch.tensor(ids))
    return torch.stack([cache["pattern", layer] for layer in range(bridge.cfg.n_layers)])  # layer n head q k


def test_attention_between_names_equals_the_pattern(architecture, tiny):
    prompts = circuit_prompts(3, widths=(9,))
    prompts = [p for p in prompts if p.order == prompts[0].order]
    ids = [prompt.ids for prompt in prompts]
    found = attention.between(tiny, recorded(tiny, ids, ["q"]), attention.columns(prompts[0]))
    pattern, p = theirs(architecture, ids), prompts[0]
    end = len(p.ids) - 1
    for name, (q, k) in {"END_IO": (end, p.io_at), "END_S1": (end, p.s1_at), "END_S2": (end, p.s2_at),
                         "S2_S1": (p.s2_at, p.s1_at), "S2_S1+1": (p.s2_at, p.s1_at + 1),
                         "S1+1_S1": (p.s1_at + 1, p.s1_at)}.items():  # fmt: skip
        torch.testing.assert_close(found[name], pattern[..., q, k].transpose(1, 2), atol=1e-5, rtol=1e-4)
    assert found["END_IO"].std() > 1e-3


@pytest.mark.parametrize("bos", [None, 2])
def test_repeat_scores_are_stripes_of_the_pattern(monkeypatch, architecture, tiny, bos):
    monkeypatch.setattr(attention, "BLOCK", 10)
    tokens = attention.random_repeats(VOCABULARY, 3, bos, seed=0)
    start = int(bos is not None)
    assert tokens.shape == (3, 20 + start)
    assert torch.equal(tokens[:, start : start + 10], tokens[:, start + 10 :])
    assert bos is None or (tokens[:, 0] == bos).all()
    found = attention.repeat_scores(tiny, tokens)
    pattern = theirs(architecture, tokens.tolist())
    rows = range(start + 10, 20 + start)
    for name, back in (("induction", 9), ("duplicate", 10)):
        wanted = torch.stack([pattern[..., i, i - back] for i in rows]).mean(0).transpose(1, 2)
        torch.testing.assert_close(found[name], wanted, atol=1e-5, rtol=1e-4)
    wanted = torch.stack([pattern[..., i, i - 1] for i in range(start + 1, 20 + start)]).mean(0).transpose(1, 2)
    torch.testing.assert_close(found["previous"], wanted, atol=1e-5, rtol=1e-4)


def test_random_repeats_are_seeded():
    first, again, other = (attention.random_repeats(1000, 2, None, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
