"""A trace equals one whole forward pass per cell, and what has to be true of any model is."""

import pytest
import torch
from causal import oracle
from tiny_models import DECODERS, random_pairs, tiny_model

from replications.causal import maps, metrics, noise
from replications.causal.cells import single, windows
from replications.causal.runs import run
from replications.causal.stack import Stack
from replications.rome_tracing import causal_tracing as method
from replications.rome_tracing.stimuli import CLASSES, Pair, Traced, token_classes
from replications.stimuli.facts import Fact, KnownFact, Relation
from replications.stimuli.spans import Encoded

SUBJECT, WIDTH, ANSWER, OTHER = [1, 2, 3], 8, 9, 17
LAYERS = [0, 1, 2]


def known(ids, answer):
    fact = Fact("toy.fact", Relation("toy", "P1", "{subject}", ()), "s", "o", "made up")
    return KnownFact(fact, Encoded("", ids, [(0, 0)] * len(ids)), SUBJECT, answer)


def example():
    (clean, corrupted), _ = (ids[0] for ids in random_pairs([WIDTH], {7, 6, 5})[:2]), None
    one = known(clean, ANSWER)
    return Traced(one, token_classes(WIDTH, SUBJECT), [5, 6]), Pair(one, known(corrupted, OTHER), corrupted)


FACT, PAIR = example()
TOKENS = FACT.known.encoded.ids


def draw(columns=SUBJECT, scale=0.5, samples=2):
    return noise.gaussian(samples, WIDTH, 32, columns, scale, torch.Generator().manual_seed(1))


def p(logits):
    return logits[:, -1].softmax(-1)[:, ANSWER]


def trace(architecture, scale=0.5, factor=0.5):
    return method.trace(
        Stack(tiny_model(architecture).hf_model), FACT, draw(scale=scale), draw([5, 6], scale), factor, LAYERS
    )


@pytest.mark.parametrize("architecture", DECODERS)
def test_a_trace_equals_a_hook_loop(architecture):
    found, bridge = trace(architecture), tiny_model(architecture).bridge

    def loop(site, ranges, columns, added):
        cells = [(site, range(*some), column, None) for some in ranges for column in columns]
        values = oracle.hook_loop(bridge, TOKENS, TOKENS, cells, p, noise=added)
        return values.mean(-1).view(len(ranges), len(columns))

    def same(name, theirs):
        torch.testing.assert_close(found[name], theirs, atol=1e-5, rtol=0, msg=lambda text: f"{name}: {text}")

    ten, text = windows(3, 10), windows(3, 10, before=4)
    for name, site, ranges in (("state", "resid_post", single(3)), ("mlp", "mlp_out", ten), ("attn", "attn_out", ten)):
        every = loop(site, ranges, range(WIDTH), draw())
        classes = [every[:, FACT.columns[token]].mean(dim=1) for token in CLASSES]
        same(name, torch.stack(classes, dim=1))
    same("mlp_text", loop("mlp_out", text, [3], draw())[:, 0])
    same("mlp_single", loop("mlp_out", single(3), [3], draw())[:, 0])
    same("attn_single", loop("attn_out", single(3), [7], draw())[:, 0])
    same("others_mlp", loop("mlp_out", ten, [6], draw([5, 6]))[:, 0])
    runs = {"clean": None, "corrupted": draw(), "corrupted_text": draw(scale=0.25), "others_corrupted": draw([5, 6])}
    for name, added in runs.items():
        same(name, oracle.hook_loop(bridge, TOKENS, TOKENS, [("z", [], 0, None)], p, noise=added).mean())


def test_a_trace_is_the_engines_causal_trace():
    stack = Stack(tiny_model("llama").hf_model)
    theirs, ours = maps.causal_trace(stack, torch.tensor(TOKENS), draw(), ANSWER), trace("llama")
    for mine, site in (("state", "resid_post"), ("mlp", "mlp_out"), ("attn", "attn_out")):
        torch.testing.assert_close(ours[mine][:, CLASSES.index("subject_last")], theirs[site][:, 3], atol=1e-6, rtol=0)
        torch.testing.assert_close(
            ours[mine][:, CLASSES.index("further")], theirs[site][:, [5, 6]].mean(1), atol=1e-6, rtol=0
        )


@pytest.mark.parametrize("architecture", DECODERS)
def test_no_noise_no_effect(architecture):
    found = trace(architecture, scale=0)
    for name, values in found.items():
        torch.testing.assert_close(values, found["clean"].expand_as(values), atol=1e-6, rtol=0, msg=name)


@pytest.mark.parametrize("architecture", DECODERS)
def test_the_last_state_at_the_last_token_is_everything(architecture):
    found = trace(architecture)
    torch.testing.assert_close(found["state"][-1, CLASSES.index("last")], found["clean"], atol=1e-6, rtol=0)
    assert (found["clean"] - found["corrupted"]).abs() > 1e-4  # else nothing was restored


def test_restoring_the_whole_subject_in_all_layers_is_the_clean_run():
    """Together the cells of one fact can only be as good as the clean run: a subject of one token shows it."""
    stack = Stack(tiny_model("llama").hf_model)
    added = draw([2])
    clean, base = run(stack, torch.tensor([TOKENS])), run(stack, torch.tensor([TOKENS]).expand(2, -1), noise=added)
    metric = metrics.probability(torch.tensor([ANSWER, ANSWER]))
    plan = {"input": method.Restoration("resid_pre", [(0, 1)], [2])}
    restored = method.restore(stack, base, clean, plan, metric)["input"]
    torch.testing.assert_close(restored[0, 0], metric(stack, clean.answer_state, torch.tensor([0]))[0])


def test_after_the_last_layer_nothing_is_severed():
    found = trace("gpt2")
    subject = found["state"][:, CLASSES.index("subject_last")]
    for name in ("severed_mlp", "severed_attn"):
        torch.testing.assert_close(found[name][-1], subject[-1])
        assert (found[name][:-1] - subject[:-1]).abs().max() > 1e-6


def test_a_class_without_tokens_and_a_prompt_without_others_are_nan():
    fact = Traced(FACT.known, FACT.columns | {"subject_middle": []}, [])
    found = method.trace(Stack(tiny_model("llama").hf_model), fact, draw(), draw([]), 0.5, LAYERS)
    assert found["mlp"].isnan().any(dim=0).tolist() == [name == "subject_middle" for name in CLASSES]
    assert found["others_corrupted"].isnan()
    assert found["others_mlp"].isnan().all()


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_two_corruptions_equal_a_hook_loop(architecture):
    tiny = tiny_model(architecture)
    found = method.compare_corruptions(Stack(tiny.hf_model), PAIR, draw(), [2], LAYERS)
    difference = oracle.diff_at((ANSWER, OTHER))
    bases = {"noise": (TOKENS, draw()), "replacement": (PAIR.corrupted, None)}
    steps = {"single": (single(3), [3]), **{f"w{width}": (windows(3, width), [3, 2]) for width in (3, 5, 10)}}
    for m, metric in enumerate((p, difference)):
        for name, (ids, added) in bases.items():
            for step, (ranges, columns) in steps.items():
                cells = [("mlp_out", range(*some), column, None) for some in ranges for column in columns]
                theirs = oracle.hook_loop(tiny.bridge, ids, TOKENS, cells, metric, noise=added).mean(-1)
                ours = found[f"{name}.{step}"][..., m]
                torch.testing.assert_close(ours.flatten(), theirs, atol=oracle.TOLERANCE, rtol=0)
            nothing = oracle.hook_loop(tiny.bridge, ids, TOKENS, [("z", [], 0, None)], metric, noise=added).mean()
            torch.testing.assert_close(found[f"{name}.corrupted"][m], nothing, atol=oracle.TOLERANCE, rtol=0)


def test_a_pair_without_a_middle_has_none():
    found = method.compare_corruptions(Stack(tiny_model("llama").hf_model), PAIR, draw(), [], LAYERS)
    assert found["noise.w5"][:, 1].isnan().all()
    assert not found["noise.w5"][:, 0].isnan().any()


def test_layers_are_sampled_evenly_with_both_ends():
    assert method.sampled_layers(30, 10) == [0, 3, 6, 10, 13, 16, 19, 23, 26, 29]
    assert method.sampled_layers(6, None) == method.sampled_layers(6, 99) == list(range(6))
