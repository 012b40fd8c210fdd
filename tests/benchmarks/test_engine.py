"""The engine against TransformerLens' helpers and a plain hook loop: same model, same cells, same run.

Peers take minutes, so they are timed on a seeded sample of cells, another part of it in every turn, and scaled to all
of them; every forward pass of a loop costs the same. A timing is recorded only after the values agreed. Nothing is
asserted about speed. Floors are the matrix products of an exact method as counted for this model: 7.08 MFLOP per token
and layer.
"""

import random

import pytest
from benchmarks.goals import MAPS, TRACE
from benchmarks.turns import ONE_THREAD, TWO_THREADS, Peer

MODEL = "smollm2-135m"
LOGITS, PROBABILITIES = 1e-3, 1e-5  # agreement, fp32 on trained weights: residual streams reach thousands
PROMPT, SUBJECT = "The Space Needle is in the city of", range(4)
SAMPLED = "peer timed on a seeded sample of {} cells of {}, scaled"

pytestmark = [pytest.mark.model, pytest.mark.parametrize("clock", [ONE_THREAD, TWO_THREADS], indirect=True)]


@pytest.fixture(scope="module")
def loaded():
    from replications.models.load import load_model

    return load_model(MODEL)


@pytest.fixture(scope="module")
def pair(loaded):
    """clean and corrupted ids, 15 tokens, and the two answers."""
    from replications.models import load

    texts = [f"Then when Mary and John went to the store, {name} gave a drink to" for name in ("John", "Mary")]
    clean, corrupted = load.encode(loaded, texts)
    answers = tuple(loaded.tokenizer(name, add_special_tokens=False)["input_ids"][0] for name in (" Mary", " John"))
    assert len(clean) == len(corrupted) == 15
    return clean, corrupted, answers


@pytest.fixture(scope="module")
def fact(loaded):
    """ids, noise and answer of one prompt: 9 tokens, 4 of the subject, 10 samples of noise at three sigma."""
    import torch

    from replications.causal.noise import gaussian

    ids = loaded.tokenizer(PROMPT, add_special_tokens=False)["input_ids"]
    assert len(ids) == 9
    words = loaded.hf_model.get_input_embeddings().weight
    scale = 3 * words.std().item()
    noise = gaussian(10, len(ids), words.shape[1], SUBJECT, scale, torch.Generator().manual_seed(0))
    with torch.inference_mode():
        answer = loaded.hf_model(torch.tensor([ids])).logits[0, -1].argmax().item()
    return ids, noise, answer


def grid(*shape):
    return [(i, j) for i in range(shape[0]) for j in range(shape[1])]


def sample(cells, k):
    return random.Random(0).sample(cells, k)


def peer_of(cells, rounds, one, total, tolerance):
    """One cell at a time by `one`: every turn a part of the cells, its seconds scaled to `total` of them."""

    def run(clock, turn):
        some = cells[turn::rounds]
        one(some[0])  # warms up
        begin = clock()
        found = {cell: one(cell) for cell in some}
        return found, (clock() - begin) * total / len(some)

    def difference(values, found):
        largest = max(abs(values[cell] - value) for cell, value in found.items())
        assert largest < tolerance
        return largest

    return Peer(run, difference)


def maps_of(loaded, pair):
    """{(site, layer, position or head): logit difference}"""
    from replications.causal.maps import patch_maps
    from replications.causal.patching import batch_pairs

    made = patch_maps(loaded.hf_model, batch_pairs([pair[0]], [pair[1]], [pair[2]]), heads=True)
    resid, z = made.resid_pre[..., 0], made.head_z[..., 0]
    return {("resid_pre", *at): resid[at].item() for at in grid(*resid.shape)} | {
        ("z", *at): z[at].item() for at in grid(*z.shape)
    }


def lens_cell(loaded, pair):
    """One cell by TransformerLens' helper."""
    import pandas as pd
    import torch
    from transformer_lens import patching

    clean, corrupted, (right, wrong) = pair
    with torch.inference_mode():
        _, cache = loaded.bridge.run_with_cache(torch.tensor([clean]))

    def cell(where):
        site, layer, index = where
        at = {"layer": [layer], "pos": [14], "head": [index]} if site == "z" else {"layer": [layer], "pos": [index]}
        setter = patching.layer_pos_head_vector_patch_setter if site == "z" else patching.layer_pos_patch_setter
        with torch.inference_mode():
            return patching.generic_activation_patch(
                loaded.bridge, torch.tensor([corrupted]), cache, lambda x: x[0, -1, right] - x[0, -1, wrong],
                setter, site, index_df=pd.DataFrame(at),
            ).item()  # fmt: skip

    return cell


def hook_cell(loaded, pair):
    """One cell by a hook on transformers' own modules."""
    import torch

    clean, corrupted, (right, wrong) = pair
    model, kept = loaded.hf_model, {}
    layers, d_head = model.model.layers, model.config.head_dim
    modules = {("resid_pre", i): layer for i, layer in enumerate(layers)}
    modules |= {("z", i): layer.self_attn.o_proj for i, layer in enumerate(layers)}
    handles = [module.register_forward_pre_hook(lambda _, x, name=name: kept.update({name: x[0]}))
               for name, module in modules.items()]  # fmt: skip
    with torch.inference_mode():
        model(torch.tensor([clean]))
    for handle in handles:
        handle.remove()

    def cell(where):
        site, layer, index = where
        at = (0, 14, slice(index * d_head, (index + 1) * d_head)) if site == "z" else (0, index)

        def restore(_, inputs):
            x = inputs[0].clone()
            x[at] = kept[site, layer][at]
            return (x, *inputs[1:])

        handle = modules[site, layer].register_forward_pre_hook(restore)
        with torch.inference_mode():
            logits = model(torch.tensor([corrupted])).logits[0, -1]
        handle.remove()
        return (logits[right] - logits[wrong]).item()

    return cell


def trace_of(loaded, fact):
    """{(site, layer, position): P(answer)}"""
    import torch

    from replications.causal.maps import KINDS, causal_trace
    from replications.causal.stack import Stack

    ids, noise, answer = fact
    made = causal_trace(Stack(loaded.hf_model), torch.tensor(ids), noise, answer)
    return {(site, *at): made[site][at].item() for site in KINDS for at in grid(*made[site].shape)}


def traced_cell(loaded, fact):
    """One cell as the published code has it: the clean run is row 0 of every batch, and its states are copied down."""
    import torch

    ids, noise, answer = fact
    model, tokens = loaded.hf_model, torch.tensor([ids]).expand(1 + len(noise), -1)
    layers, words = model.model.layers, model.get_input_embeddings()

    def module(site, layer):
        return {"resid_post": layer, "mlp_out": layer.mlp, "attn_out": layer.self_attn}[site]

    def restore(out, position):
        x = out[0] if isinstance(out, tuple) else out
        x[1:, position] = x[0, position]

    def corrupt(_, inputs, out):
        out[1:] += noise

    def cell(where):
        site, layer, position = where
        wide = [layer] if site == "resid_post" else range(max(0, layer - 5), min(len(layers), layer + 5))
        hooks = [words.register_forward_hook(corrupt)]
        hooks += [module(site, layers[i]).register_forward_hook(lambda m, x, out: restore(out, position)) for i in wide]
        with torch.inference_mode():
            p = model(tokens).logits[1:, -1].softmax(-1)[:, answer].mean().item()
        for hook in hooks:
            hook.remove()
        return p

    return cell


def test_residual_and_head_map_of_one_pair(compare, loaded, pair):
    every, rounds = list(maps_of(loaded, pair)), 5
    cells = sample(every, 40)
    peers = {name: peer_of(cells, rounds, one(loaded, pair), len(every), LOGITS)
             for name, one in (("transformer_lens.patching", lens_cell), ("hook loop", hook_cell))}  # fmt: skip
    note = SAMPLED.format(len(cells), len(every))
    compare(MAPS, lambda: maps_of(loaded, pair), peers, flop=85e9, rounds=rounds, note=note)


def test_causal_trace_of_one_fact(compare, loaded, fact):
    """A first round of more than half a minute needs no warming up."""
    sites, rounds = ("resid_post", "mlp_out", "attn_out"), 3
    cells = [(site, *at) for site in sites for at in sample(grid(30, 9), 12)]
    peers = {"hook loop": peer_of(cells, rounds, traced_cell(loaded, fact), 810, PROBABILITIES)}
    note = SAMPLED.format(len(cells), 810)
    compare(TRACE, lambda: trace_of(loaded, fact), peers, flop=5.7e12, rounds=rounds, note=note)
