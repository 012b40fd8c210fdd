"""Copying: against plain matrices and a whole vocabulary, and heads made to copy."""

import pytest
import torch
from ioi_circuit.conftest import circuit_prompts
from tiny_models import tiny_model

from replications.ioi_circuit import anatomy as anatomies
from replications.ioi_circuit import copying
from replications.ioi_circuit.anatomy import Anatomy


def by_matrices(architecture, states, tokens, sign):
    """The paper's definition on the bridge: norm, W_V, W_O, final norm, unembedding, top 5 of everything.

    A token's logit less that of the fifth of the others: above zero, it is among the five.
    """
    bridge, found = tiny_model(architecture).bridge, []
    with torch.inference_mode():
        for block in bridge.blocks:
            x = block.ln1.original_component(states)
            w_v, w_o = block.attn.W_V, block.attn.W_O
            v = torch.einsum("nd,hde->hne", x, w_v)
            b_v = block.attn.b_V
            v = v if b_v is None else v + b_v[:, None]
            v = v.repeat_interleave(len(w_o) // len(w_v), dim=0)
            out = sign * torch.einsum("hne,hed->hnd", v, w_o)
            if architecture == "gemma3":
                out = block.ln1_post.original_component(out)
            logits = bridge.unembed.original_component(bridge.ln_final.original_component(out))
            rows = torch.arange(len(tokens))
            own = logits[:, rows, tokens].clone()
            logits[:, rows, tokens] = -torch.inf
            found.append(own - logits.topk(copying.TOP).values[..., -1])
    return torch.stack(found)


@pytest.mark.parametrize("words", [4096, 7])
def test_copies_equal_the_definition(monkeypatch, architecture, tiny, words):
    monkeypatch.setattr(copying, "WORDS", words)  # in one go, and in several
    states, tokens = copying.name_states(tiny, circuit_prompts(40, widths=(9,)))
    found = copying.copies(tiny, states, tokens)
    assert found.shape == (2, 3, 4, 120)
    assert 0 < found.float().mean() < 0.5
    for i, sign in enumerate((1, -1)):
        above = by_matrices(architecture, states, tokens, sign)
        clear = above.abs() > 1e-4  # logits of the order of 1: nearer ones change places with the order of a sum
        assert torch.equal(found[i][clear], above[clear] > 0)
        assert clear.float().mean() > 0.99


def test_states_are_after_the_first_layer_at_the_names(architecture, tiny):
    prompts = circuit_prompts(4, widths=(9,))
    states, tokens = copying.name_states(tiny, prompts)
    with torch.inference_mode():
        _, cache = tiny_model(architecture).bridge.run_with_cache(torch.tensor([p.ids for p in prompts]))
    p = prompts[1]
    assert tokens[3:6].tolist() == [p.io_id, p.s_id, p.s_id]
    torch.testing.assert_close(
        states[3:6], cache["resid_post", 0][1, [p.io_at, p.s1_at, p.s2_at]], atol=1e-5, rtol=1e-4
    )


def test_a_head_made_to_copy_is_found_out():
    """Rows of the unembedding as states, and heads whose values and output are the identity, and its negative."""
    model = tiny_model("llama")
    anatomy = anatomies.anatomy(model.hf_model)
    tokens = torch.arange(3, 40)
    states = model.hf_model.lm_head.weight[tokens].detach()
    eye = torch.linalg.pinv(model.bridge.blocks[1].attn.W_V[0].detach())  # [d_head, d_model]: undoes what it can
    planted = [w.clone() for w in anatomy.w_o]
    planted[1][0], planted[1][1] = 40 * eye, -40 * eye
    copies = copying.copies(Anatomy(anatomy.stack, planted), states, tokens).float().mean(-1)
    average = copies[0].mean()
    assert copies[0, 1, 0] > max(0.5, 3 * average)
    assert copies[1, 1, 0] == 0
    assert copies[1, 1, 1] == copies[0, 1, 0]
