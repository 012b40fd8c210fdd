"""The search, step by step on tiny models, with rules so lax that every step has heads to go on with."""

import numpy as np
import pytest
import torch
from ioi_circuit.conftest import circuit_prompts
from tiny_models import tiny_model

from replications.ioi_circuit import anatomy as anatomies
from replications.ioi_circuit import circuit, classes, observe, path_patching
from replications.ioi_circuit.circuit import MAPS, Search

N = 16
SIZES = {name: (6, 12) for name in MAPS} | {"logits": (8, N), "keys": (6, 6)}


MOVERS, NEGATIVE, INHIBITION, INDUCTION, PREVIOUS = [(2, 1)], [(2, 2)], [(2, 0), (1, 2)], [(1, 3)], [(0, 0), (0, 2)]


@pytest.fixture
def named(monkeypatch):
    """Every step finds the heads that we say, and all heads are in doubt."""
    monkeypatch.setattr(classes, "in_doubt", lambda effects, clean, among_all: classes._heads(
        np.isfinite(effects).any(-1)))  # fmt: skip
    monkeypatch.setattr(classes, "writers", lambda *_: (MOVERS, NEGATIVE, []))
    monkeypatch.setattr(classes, "s_inhibition", lambda *_: INHIBITION)
    monkeypatch.setattr(classes, "early", lambda *_: (INDUCTION, [(0, 3)]))
    monkeypatch.setattr(classes, "looks_back", lambda *_: PREVIOUS)


class Kept(dict):
    """Shards in memory, and what was made anew."""

    def __init__(self):
        self.made = []

    def __call__(self, name, make):
        if name not in self:
            self[name] = make()
            self.made.append(name)
        return self[name]

    def each(self, makers, doing):
        return [self(name, make) for name, make in makers.items()]


def search(architecture, keep, prompts=None):
    model = tiny_model(architecture)
    anatomy, prompts = anatomies.anatomy(model.hf_model), prompts or circuit_prompts(N)
    seen = observe.observe(anatomy, prompts, keep)
    found = Search(anatomy, prompts, seen.arrays["logit_diff"], SIZES, keep)
    scores = {name: np.full((3, 4), 0.5) for name in ("induction", "duplicate", "previous")}
    return found, found.find(seen.mean_attention, scores)


def direct(asked, rows, senders, site, receivers, at):
    group = path_patching.make_group(asked.anatomy, [asked.prompts[row] for row in rows])
    return path_patching.on_receivers(asked.anatomy, group, senders, site, receivers, at).numpy()


@pytest.mark.parametrize("architecture", ["gpt2", "gemma3"])
def test_every_step_asks_about_the_heads_found_before(named, architecture):
    asked, found = search(architecture, Kept())
    assert set(found.effects) == set(MAPS)
    rows = [0, 4]  # of one shape
    for name, site, receivers, at in (
        ("queries", "q", MOVERS, "END"), ("values", "v", INHIBITION, "S2"), ("keys", "k", INHIBITION, "S2"),
        ("previous", "k", INDUCTION, "S1+1"),
    ):  # fmt: skip
        effects = found.effects[name]
        senders = PREVIOUS if name == "previous" else [(0, 1), (1, 3), (0, 2)]
        wanted = direct(asked, rows, senders, site, receivers, at)
        for head in senders:
            np.testing.assert_allclose(effects[head][rows], wanted[head], atol=1e-5)
        assert effects.shape[-1] == SIZES[name][1]
        last = max(layer for layer, _ in receivers)
        assert np.isnan(effects[last:]).all()
    assert np.isnan(found.effects["previous"][0, [1, 3]]).all()
    assert np.isnan(found.effects["knocked_out"][:2]).all()
    assert np.isfinite(found.effects["knocked_out"][2]).all()


@pytest.mark.parametrize("architecture", ["llama"])
def test_effects_are_in_the_order_of_the_prompts(named, architecture):
    asked, found = search(architecture, Kept())
    for i in (0, 3, 9, 15):
        one = path_patching.make_group(asked.anatomy, asked.prompts[i : i + 1])
        alone = path_patching.on_logits(asked.anatomy, one, asked.anatomy.heads)[..., 0]
        there = found.effects["logits"][..., i]
        assert np.isfinite(there).any()
        np.testing.assert_allclose(there[np.isfinite(there)], alone.numpy()[np.isfinite(there)], atol=1e-4)


def test_a_killed_search_goes_on_where_it_stopped(named):
    kept = Kept()
    _, first = search("llama", kept)
    everything = list(kept.made)
    for name in everything[-3:]:
        del kept[name]
    kept.made.clear()
    _, again = search("llama", kept)
    assert sorted(kept.made) == sorted(everything[-3:])
    assert again.classes == first.classes
    for name, effects in first.effects.items():
        np.testing.assert_array_equal(again.effects[name], effects)


def test_maps_share_the_runs_of_their_groups(named):
    asked, _ = search("llama", Kept())
    covered = [prompt.text for some in asked.groups for prompt in some]
    assert sorted(covered) == sorted(prompt.text for prompt in asked.prompts)


def test_where_no_head_is_found_nothing_more_is_asked(monkeypatch):
    monkeypatch.setattr(classes, "writers", lambda *_: ([], [(1, 1)], [(2, 2)]))
    _, found = search("llama", Kept())
    assert set(found.effects) == {"logits"}
    assert {name for name, heads in found.classes.items() if heads} == {"negative_name_mover", circuit.OTHER}


def test_movers_in_the_first_layer_have_nobody_before_them(monkeypatch):
    monkeypatch.setattr(classes, "writers", lambda *_: ([(0, 1)], [], []))
    _, found = search("llama", Kept())
    assert set(found.effects) == {"logits", "knocked_out"}


def test_the_observed_arrays_are_in_the_order_of_the_prompts():
    model, prompts = tiny_model("gpt2"), circuit_prompts(10)
    anatomy = anatomies.anatomy(model.hf_model)
    seen = observe.observe(anatomy, prompts, Kept())
    again = observe.logit_diffs(anatomy, prompts, [prompt.ids for prompt in prompts], Kept())
    np.testing.assert_allclose(seen.arrays["logit_diff"], again, atol=1e-4)
    for i, prompt in enumerate(prompts):
        with torch.inference_mode():
            logits = model.hf_model(torch.tensor([prompt.ids])).logits[0, -1]
        assert again[i] == pytest.approx(float(logits[prompt.io_id] - logits[prompt.s_id]), abs=1e-4)
        assert seen.arrays["p_io"][i] == pytest.approx(float(logits.softmax(-1)[prompt.io_id]), abs=1e-5)


def test_the_steps_are_the_papers():
    assert circuit.OTHER not in classes.CLASSES
    assert len(classes.CLASSES) == 7
