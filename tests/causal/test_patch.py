"""Every site of every architecture, in both directions, equals one whole forward pass per cell."""

import copy

import pytest
import torch
import transformers
from causal import oracle
from causal.oracle import TOLERANCE
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import DECODERS, ENCODERS, FAMILY, random_pairs, tiny_model

from replications.causal import metrics
from replications.causal.cells import SITES, grid, single, windows
from replications.causal.patch import patch
from replications.causal.patching import batch_pairs
from replications.causal.runs import run
from replications.causal.stack import Stack
from replications.models import families

LAYERS = 3


def has(architecture, site):
    """Without it: attention and MLP in parallel, norms after the additions."""
    return FAMILY[architecture].path(site, tiny_model(architecture).hf_model.config) is not None


def every_cell(stack, base, source, site, metric, layers=None, **options):
    """Values as [layer, column, head, row]."""
    rows, columns = torch.arange(len(base)), torch.arange(base.frame.width)
    heads = {"heads": range(stack.n_heads)} if site == "z" else {}
    cells = grid(site, layers or single(stack.n_layers), columns, rows, **heads)
    values = patch(stack, base, source, cells, metric, **options)
    return values.view(stack.n_layers, len(columns), -1, len(rows))


def runs_of(stack, batch, sites=(), **options):
    return (run(stack, batch.corrupted, batch.corrupted_mask, sites=sites, **options),
            run(stack, batch.clean, batch.clean_mask, sites=sites, **options))  # fmt: skip


def assert_map_is_the_helpers(architecture, site, pairs, noising=False):
    tiny = tiny_model(architecture)
    stack, (clean, corrupted, answers) = Stack(tiny.hf_model), pairs
    base, source = runs_of(stack, batch_pairs(*pairs), [site] if site != "resid_pre" else [])
    if noising:
        base, source, clean, corrupted = source, base, corrupted, clean
    ours = every_cell(stack, base, source, site, metrics.logit_diff(torch.tensor(answers)))
    for i, (a, b, answer) in enumerate(zip(corrupted, clean, answers, strict=True)):
        theirs = oracle.helper_map(tiny.bridge, site, a, b, oracle.diff_at(answer))
        mine = ours[:, -len(a) :, :, i]  # the columns before are padding
        torch.testing.assert_close(mine if site == "z" else mine[:, :, 0], theirs, atol=TOLERANCE, rtol=0)


@settings(max_examples=2, deadline=None)  # of each architecture and site; a forward pass per cell
@given(st.data(), st.integers(0, 99), st.booleans())
@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("architecture", DECODERS)
def test_every_site_equals_the_helpers(architecture, site, data, seed, noising):
    if site not in ("resid_pre", "z") and not has(architecture, site):
        return
    lengths = data.draw(st.lists(st.integers(2, 6), min_size=1, max_size=2))
    changed = data.draw(st.sets(st.integers(1, min(lengths)), min_size=1))
    assert_map_is_the_helpers(architecture, site, random_pairs(lengths, changed, seed), noising)


@pytest.mark.parametrize("architecture", [*DECODERS, *ENCODERS])
def test_resid_post_equals_a_hook_loop(architecture):
    tiny, (clean, corrupted, answers) = tiny_model(architecture), random_pairs([6], {3})
    stack = Stack(tiny.hf_model)
    base, source = runs_of(stack, batch_pairs(clean, corrupted, answers))
    ours = every_cell(stack, base, source, "resid_post", metrics.logit_diff(torch.tensor(answers)))
    cells = [("resid_post", [layer], position, None) for layer in range(LAYERS) for position in range(6)]
    theirs = oracle.hook_loop(tiny.bridge, corrupted[0], clean[0], cells, oracle.diff_at(answers[0]))
    torch.testing.assert_close(ours.flatten(), theirs.flatten(), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("site", [site for site in SITES if site != "resid_mid"])
@pytest.mark.parametrize("architecture", ENCODERS)
def test_an_encoder_asked_at_any_position_equals_the_helpers(architecture, site):
    tiny, (clean, corrupted, answers) = tiny_model(architecture), random_pairs([7, 7], {4, 2}, seed=3)
    stack, asked = Stack(tiny.hf_model), [2, 5]
    base, source = runs_of(stack, batch_pairs(clean, corrupted, answers), [site] if site != "resid_pre" else [],
                           asked=torch.tensor(asked))  # fmt: skip
    ours = every_cell(stack, base, source, site, metrics.logit_diff(torch.tensor(answers)))
    for i, (a, b, answer) in enumerate(zip(corrupted, clean, answers, strict=True)):
        theirs = oracle.helper_map(tiny.bridge, site, a, b, oracle.diff_at(answer, asked[i]))
        mine = ours[..., i] if site == "z" else ours[:, :, 0, i]
        torch.testing.assert_close(mine, theirs, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("architecture", ["gpt_neox", "gptj", "bert"])
def test_resid_mid_is_refused_where_there_is_none(architecture):
    stack = Stack(tiny_model(architecture).hf_model)
    with pytest.raises(ValueError, match="has no resid_mid"):
        run(stack, torch.tensor([[3, 4]]), sites=["resid_mid"])


@pytest.mark.parametrize("site", ["attn_out", "mlp_out"])
@pytest.mark.parametrize("architecture", [*DECODERS, *ENCODERS])
def test_windows_equal_a_hook_loop(architecture, site):
    tiny, (clean, corrupted, answers) = tiny_model(architecture), random_pairs([6], {4, 3})
    stack, ranges = Stack(tiny.hf_model), windows(LAYERS, 2)
    base, source = runs_of(stack, batch_pairs(clean, corrupted, answers), [site])
    ours = every_cell(stack, base, source, site, metrics.logit_diff(torch.tensor(answers)), layers=ranges)
    cells = [(site, range(*layers), position, None) for layers in ranges for position in range(6)]
    theirs = oracle.hook_loop(tiny.bridge, corrupted[0], clean[0], cells, oracle.diff_at(answers[0]))
    torch.testing.assert_close(ours.flatten(), theirs.flatten(), atol=TOLERANCE, rtol=0)


def test_a_window_is_that_of_the_published_code():
    assert windows(30)[0] == (0, 5)
    assert windows(30)[12] == (7, 17)
    assert windows(30)[29] == (24, 30)


def test_cells_of_several_sites_share_a_pass():
    pairs = random_pairs([7, 5], {3})
    stack = Stack(tiny_model("gemma3").hf_model)
    base, source = runs_of(stack, batch_pairs(*pairs), ["z", "mlp_out"])
    metric, rows, columns = metrics.logit_diff(torch.tensor(pairs[2])), torch.arange(2), torch.arange(7)
    both = grid("z", single(3), columns, rows, heads=range(4)) + grid("mlp_out", windows(3, 2), columns, rows)
    together = patch(stack, base, source, both, metric)
    apart = torch.cat([patch(stack, base, source, both[both.site == code], metric) for code in (4, 3)])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 1 << 20), st.sampled_from(DECODERS))
def test_the_result_does_not_depend_on_the_budget(budget, architecture):
    pairs = random_pairs([7, 4], {3, 1})
    stack = Stack(copy.deepcopy(tiny_model(architecture).hf_model).double())  # only another order of sums is allowed
    base, source = runs_of(stack, batch_pairs(*pairs), ["attn_out"])
    metric = metrics.logit_diff(torch.tensor(pairs[2]))
    small, whole = (every_cell(stack, base, source, "attn_out", metric, budget=b) for b in (budget, 1 << 32))
    torch.testing.assert_close(small, whole, atol=1e-12, rtol=0)


@pytest.mark.parametrize("architecture", [*DECODERS, *ENCODERS])
def test_metrics_equal_a_softmax_over_the_vocabulary(architecture, monkeypatch):
    monkeypatch.setattr(metrics, "LOGITS", 4 * 2 * 9)  # nine tokens of the vocabulary at a time
    model, (clean, corrupted, answers) = tiny_model(architecture).hf_model, random_pairs([6, 6], {2})
    stack, pairs = Stack(model), torch.tensor(answers)
    _, made = runs_of(stack, batch_pairs(clean, corrupted, answers))
    with torch.inference_mode():
        log_p = model(torch.tensor(clean)).logits[:, -1].log_softmax(-1)
        rows = torch.arange(2)
        ratio = metrics.log_ratio(pairs)(stack, made.answer_state, rows)
        p = metrics.probability(pairs[:, 0])(stack, made.answer_state, rows)
    torch.testing.assert_close(ratio, log_p[rows, pairs[:, 0]] - log_p[rows, pairs[:, 1]], atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(p, log_p[rows, pairs[:, 0]].exp(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("architecture", [*DECODERS, *ENCODERS])
def test_the_model_is_left_as_it_was(architecture):
    model, tokens = tiny_model(architecture).hf_model, torch.tensor([[3, 4, 5]])
    pairs = random_pairs([4], {2})
    with torch.inference_mode():
        before = model(tokens).logits
        stack = Stack(model)
        base, source = runs_of(stack, batch_pairs(*pairs), ["z", "mlp_out"])
        every_cell(stack, base, source, "mlp_out", metrics.logit_diff(torch.tensor(pairs[2])))
        assert torch.equal(model(tokens).logits, before)


def test_an_architecture_it_does_not_know_is_refused():
    config = transformers.BloomConfig(hidden_size=8, n_layer=1, n_head=2, vocab_size=9)
    model = transformers.BloomForCausalLM(config)
    assert not families.supports(model)
    with pytest.raises(ValueError, match="does not know bloom: see replications/models/families"):
        Stack(model)


def test_a_model_in_training_or_with_other_layers_is_refused():
    small = {"hidden_size": 8, "ffn_dim": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 9}
    assert not families.supports(
        transformers.OPTForCausalLM(transformers.OPTConfig(**small, do_layer_norm_before=False))
    )
    with pytest.raises(ValueError, match="in training mode"):
        Stack(transformers.OPTForCausalLM(transformers.OPTConfig(**small)).train())
