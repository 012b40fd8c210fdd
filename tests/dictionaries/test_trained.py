"""Dictionaries of a tiny model: trained once, found again, trained anew when damaged, and what their identity knows."""

import subprocess
import sys

import pytest
import torch
from dictionaries import tiny

from replications import files
from replications.dictionaries import corpus, saelens
from replications.dictionaries import trained as module
from replications.dictionaries.trained import trained
from replications.errors import Refusal
from replications.settings import PROFILES, load_settings, room_params

KEYS = {("resid_pre", kind, seed) for kind in ("standard", "topk", "batch_topk") for seed in (0, 1)} | {
    ("mlp_post", "standard", 0)
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Call `trained` on the tiny model; `blocks` counts those that were really trained on."""
    monkeypatch.setenv("REPLICATIONS_CACHE", str(tmp_path))
    monkeypatch.setattr(module.load, "manifest", lambda entry: {"safetensors": "0" * 64})

    def call(changes=None, **options):
        call.blocks = []
        params = tiny.PARAMS | (changes or {})
        return trained(
            tiny.loaded(), profile="default", params=params, text=tiny.text(), report=call.blocks.append, **options
        )

    return call


def test_they_are_trained_once_and_found_again(run):
    first = run()
    assert run.blocks == list(range(6))
    assert first.dictionaries.keys() == KEYS
    again = run()
    assert run.blocks == []
    for key, one in first.dictionaries.items():
        assert torch.equal(one.W_dec, again.dictionaries[key].W_dec)
        assert again.statistics[key]["losses"].shape == (6,)
        assert again.statistics[key]["since_fired"].shape == (one.h,)
    assert run(fresh=True).manifest == first.manifest
    assert run.blocks == list(range(6))


def test_what_lies_on_disk_is_saelens_layout_with_its_hashes(run):
    found = run()
    held = found.manifest["files"]
    assert held["resid_pre.topk.1/sae_weights.safetensors"] == files.sha256(
        found.folder / "resid_pre.topk.1" / saelens.WEIGHTS
    )
    one = saelens.read(found.folder / "resid_pre.topk.1")
    assert one.info["hook_name"] == "blocks.1.hook_resid_pre"
    assert (one.info["seed"], one.info["model_weights"], one.k) == (1, "trained", 4)
    assert [path.name for path in found.folder.parent.iterdir()] == [found.folder.name]  # no checkpoint is left


def test_dictionaries_are_of_activations_as_the_model_writes_them(run):
    from replications.dictionaries.stream import activations

    found = run()
    one, site = found.get("resid_pre", "topk", 0), found.sites["resid_pre"]
    x = activations(tiny.model(), tiny.text().testing(), [site])[site][:, 1:].flatten(0, 1)
    scale = found.manifest["input_scales"][str(site)]
    assert (x * scale).norm(dim=1).mean().item() == pytest.approx(tiny.D**0.5, rel=0.1)
    assert torch.allclose(one.W_dec.norm(dim=1), torch.ones(one.h), atol=1e-5)
    assert (one.encode(x) > 0).sum(dim=1).max() <= 4


def test_a_damaged_folder_is_trained_anew(run):
    found = run()
    (found.folder / "resid_pre.topk.0" / saelens.WEIGHTS).write_bytes(b"half")
    assert run().manifest == found.manifest
    assert run.blocks == list(range(6))


def test_an_interrupted_training_ends_with_the_same_files(run, monkeypatch):
    whole = run().manifest

    def stopping(block):
        if block == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(tiny.loaded(), profile="default", params=tiny.PARAMS, text=tiny.text(), fresh=True, report=stopping)
    again = run(fresh=True)
    assert run.blocks == [4, 5]  # block 3 had been written before its report
    assert again.manifest == whole


def test_other_weights_and_params_have_another_folder(run):
    first, twin = run(), run(twin_seed=3)
    assert run({"resamples": 7}).folder == first.folder  # does not concern the training
    assert run.blocks == []
    others = [run({"seed": 4}), run({"k": 3})]
    assert len({each.folder for each in (first, twin, *others)}) == 4
    assert {path.name for path in first.folder.parent.iterdir()} == {twin.folder.name, others[1].folder.name}


def test_unknown_dictionaries_and_budgets_are_refused(run):
    with pytest.raises(Refusal, match=r"no dictionary mlp_post/topk/0 is trained: .* has .*mlp_post/standard/0"):
        run().get("mlp_post", "topk")
    with pytest.raises(Refusal, match="the budget is 1e-05 GB"):
        run({"memory_gb": 1e-5})


def test_every_model_has_its_own_l1():
    own = {"l1": {"tiny": {"resid_pre": 0.1, "mlp_post": 0.2}, "other": {"resid_pre": 0.3, "mlp_post": 0.4}}}
    plans = module.plan(tiny.loaded(), tiny.PARAMS | own)
    held = {str(plan.site): plan.recipe.l1 for plan in plans if plan.recipe.kind == "standard"}
    assert held == {"resid_pre.1": (0.1, 0.1), "mlp_post.0": (0.2,)}
    assert {plan.recipe.l1 for plan in plans if plan.recipe.kind != "standard"} == {()}
    with pytest.raises(Refusal, match=r"no l1 for new at resid_pre, .*\(0\.1 of tiny, 0\.3 of other\): try some"):
        module.plan(tiny.loaded("new"), tiny.PARAMS | own)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_matrix_has_an_l1_for_every_model(profile):
    params = room_params("sae", profile)
    for run in load_settings().matrices["sae_runs"].values():
        for site in params["banks"]:
            assert module.l1_of(run.model, site, params) > 0


def test_text_is_cut_into_the_model_s_tokens(monkeypatch):
    found = module.read_text(tiny.loaded(), tiny.PARAMS)
    assert found.training().shape == (24, tiny.WIDTH)
    assert found.testing().shape == (6, tiny.WIDTH)
    assert found.digest == corpus.digest(corpus.documents(4000, ("numbers", "base64")))
    with pytest.raises(Refusal, match="has no window of 17 tokens"):
        module.read_text(tiny.loaded(), tiny.PARAMS | {"characters": 0})


def test_the_layer_follows_the_depth():
    assert module.layer_of(tiny.loaded(), {"depth": 0.4}) == 1
    assert module.layer_of(tiny.loaded(), {"depth": 0.0}) == 1
    sites = {str(plan.site): plan.recipe.h for plan in module.plan(tiny.loaded(), tiny.PARAMS | {"depth": 0.7})}
    assert sites == {"resid_pre.2": 2 * tiny.D, "mlp_post.1": tiny.D_MLP}


def test_dictionaries_that_a_living_process_works_on_are_left_alone(run, tmp_path):
    first = run()
    code = """
import sys
from pathlib import Path
from replications.catalogue import store
with store.locked(Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.readline()
"""
    line = [sys.executable, "-c", code, str(tmp_path), first.folder.name]
    with subprocess.Popen(line, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == "held\n"
        second = run({"seed": 5})
        assert first.folder.is_dir()
        other.communicate("\n")
    third = run({"seed": 6})
    assert [path.name for path in third.folder.parent.iterdir()] == [third.folder.name] != [second.folder.name]
    assert not list((tmp_path / "partial").iterdir())
