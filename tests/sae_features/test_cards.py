"""What a direction does to the logits, at both hook points, against the model itself."""

import torch
from dictionaries import tiny

from replications.dictionaries.stream import Site
from replications.sae_features import cards


def test_logit_effects_are_those_of_the_model_s_own_last_layers():
    model, row = tiny.model(), torch.randn(tiny.D, generator=torch.Generator().manual_seed(0))
    raised, lowered = cards.effect(tiny.loaded(), Site("resid_pre", 1), row)
    with torch.no_grad():
        logits = model.lm_head(model.model.norm(row))
    assert raised.tolist() == logits.topk(cards.TOKENS).indices.tolist()
    assert lowered.tolist() == (-logits).topk(cards.TOKENS).indices.tolist()


def test_a_row_over_neurons_goes_through_the_mlp_s_last_matrix():
    model, row = tiny.model(), torch.randn(tiny.D_MLP, generator=torch.Generator().manual_seed(0))
    raised, _ = cards.effect(tiny.loaded(), Site("mlp_post", 0), row)
    with torch.no_grad():
        logits = model.lm_head(model.model.norm(model.model.layers[0].mlp.down_proj(row)))
    assert raised.tolist() == logits.topk(cards.TOKENS).indices.tolist()
