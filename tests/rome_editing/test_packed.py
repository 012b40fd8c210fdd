"""Packed runs are whole forward passes: unedited, with an edit of every copy's own, with the weight itself edited."""

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from rome_editing import oracle
from tiny_models import DECODERS, VOCABULARY

from replications.errors import Refusal
from replications.models.families import as_map, projection
from replications.rome_editing.edits import at_subject, rank_one
from replications.rome_editing.packed import open_model
from replications.rome_editing.projection import add_rank_one, restored
from replications.rome_editing.rows import Row

LAYER = 1


def rows_of(lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    made = []
    for length in lengths:
        ids = tuple(torch.randint(3, VOCABULARY, (length,), generator=generator).tolist())
        subject = int(torch.randint(length, (1,), generator=generator))
        made.append(Row(ids, subject, tuple(sorted({subject, length - 1}))))
    return made


def plain_logits(model, rows):
    """Logits at the asked columns, one unpadded row at a time."""
    with torch.no_grad():
        return torch.cat([model(torch.tensor([row.ids]), use_cache=False).logits[0, list(row.asked)] for row in rows])


def assert_close(mine, theirs):
    torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


def test_a_model_that_the_engine_does_not_know_is_refused():
    small = {"hidden_size": 8, "ffn_dim": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 9}
    model = transformers.OPTForCausalLM(transformers.OPTConfig(**small, do_layer_norm_before=False))
    with pytest.raises(Refusal, match="opt: editing needs a family of architectures that replications/models/families"):
        open_model(model)


@settings(max_examples=4, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 99))
@pytest.mark.parametrize("architecture", DECODERS)
def test_an_unedited_run_is_the_models_own(architecture, lengths, seed):
    model, rows = oracle.hf_model(architecture), rows_of(lengths, seed)
    net = open_model(model)
    base = net.record(rows, [LAYER])
    assert_close(net.logits(base.states), plain_logits(model, rows))
    place = projection(model, LAYER)
    for i, row in enumerate(rows):
        _, key, value = oracle.forward(model, row, place)
        assert_close(base.keys[LAYER][i], key)
        assert_close(base.values[LAYER][i], value)


@settings(max_examples=4, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 99))
@pytest.mark.parametrize("architecture", DECODERS)
def test_a_delta_at_the_subject_is_a_hook_on_the_whole_pass(architecture, lengths, seed):
    model, rows = oracle.hf_model(architecture), rows_of(lengths, seed)
    net = open_model(model)
    base = net.record(rows, [LAYER])
    picked = [len(rows) - 1, 0, 0]  # copies, in any order, of some of the rows
    delta = torch.randn(3, model.config.hidden_size)
    with torch.no_grad():
        mine = net.logits(net.states(base, picked, LAYER, at_subject(delta), from_subject=True))
        place = projection(model, LAYER)
        pairs = [(rows[row], d) for row, d in zip(picked, delta, strict=True)]
        theirs = [oracle.forward(model, row, place, d)[0][list(row.asked)] for row, d in pairs]
    assert_close(mine, torch.cat(theirs))


@pytest.mark.parametrize("architecture", DECODERS)
def test_copies_with_edits_of_their_own_are_models_with_edited_weights(architecture):
    model, rows = oracle.hf_model(architecture), rows_of([5, 7, 3])
    net, module = open_model(model), projection(model, LAYER)
    d_in, d_out = as_map(module).shape
    u, lam = 0.3 * torch.randn(3, d_in), 0.3 * torch.randn(3, d_out)
    base = net.record(rows, [LAYER])
    with torch.no_grad():
        mine = net.logits(net.states(base, range(3), LAYER, rank_one(u, lam)))
    for i, row in enumerate(rows):
        with restored(module):
            add_rank_one(module, u[i], lam[i])
            theirs = plain_logits(model, [row])
            with torch.no_grad():
                now = net.logits(net.states(base, [i], LAYER, None))
        at = sum(len(r.asked) for r in rows[:i])
        assert_close(mine[at : at + len(row.asked)], theirs)
        assert_close(now, theirs)
    assert not torch.allclose(mine, net.logits(base.states), atol=1e-2)


def test_a_model_in_training_is_refused():
    model = oracle.hf_model("gptj")
    model.train()
    try:
        with pytest.raises(ValueError, match="dropout"):
            open_model(model)
    finally:
        model.eval()
