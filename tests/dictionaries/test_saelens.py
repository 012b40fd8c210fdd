"""SAELens' layout: what is written comes back, older files are understood, and damage is named."""

import json

import pytest
import torch
from dictionaries.test_sae import make
from safetensors.torch import load_file, save_file

from replications.dictionaries import saelens
from replications.dictionaries.sae import KINDS, TENSORS
from replications.errors import Refusal


@pytest.mark.parametrize("kind", KINDS)
def test_a_dictionary_comes_back_bit_by_bit(kind, tmp_path):
    one = make(kind)
    one.info["model_name"] = "tiny"
    again = saelens.read(saelens.write(one, tmp_path / "a"))
    assert (again.kind, again.k, again.info["model_name"]) == (kind, one.k, "tiny")
    assert all(torch.equal(getattr(again, name), getattr(one, name)) for name in TENSORS)
    saelens.write(again, tmp_path / "b")
    for name in (saelens.CONFIG, saelens.WEIGHTS):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def change(folder, **fields):
    config = json.loads((folder / saelens.CONFIG).read_text())
    (folder / saelens.CONFIG).write_text(json.dumps({key: v for key, v in (config | fields).items() if v != "gone"}))
    return folder


def test_the_flat_config_from_before_version_6(tmp_path):
    one = make("topk")
    folder = change(saelens.write(one, tmp_path), architecture="standard", k="gone", metadata="gone",
                    activation_fn_str="topk", activation_fn_kwargs={"k": 3}, hook_point="blocks.1.hook_resid_pre",
                    normalize_activations=None)  # fmt: skip
    again = saelens.read(folder)
    assert (again.kind, again.k, again.info) == ("topk", 3, {"hook_name": "blocks.1.hook_resid_pre"})


def test_without_the_pre_bias_encoding_is_of_the_plain_input(tmp_path):
    one, x = make("standard"), torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    again = saelens.read(change(saelens.write(one, tmp_path), apply_b_dec_to_input=False))
    f = (x @ one.W_enc + one.b_enc).relu()
    assert torch.allclose(again.encode(x), f, atol=1e-5)
    assert torch.allclose(again(x), f @ one.W_dec + one.b_dec, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"architecture": "gated"}, "architecture 'gated' is not known here"),
        ({"normalize_activations": "layer_norm"}, "normalize_activations is 'layer_norm'"),
        ({"rescale_acts_by_decoder_norm": True}, "rescale_acts_by_decoder_norm is True"),
    ],
)
def test_what_would_be_computed_otherwise_is_refused(tmp_path, fields, text):
    with pytest.raises(Refusal, match=text):
        saelens.read(change(saelens.write(make("topk"), tmp_path), **fields))


def test_damaged_files_are_refused(tmp_path):
    folder = saelens.write(make("standard"), tmp_path)
    weights = folder / saelens.WEIGHTS
    tensors = load_file(weights)
    save_file({name: tensors[name] for name in ("W_enc", "b_enc", "W_dec")}, weights)
    with pytest.raises(Refusal, match="lacks b_dec"):
        saelens.read(folder)
    save_file(tensors | {"b_enc": torch.zeros(4)}, weights)
    with pytest.raises(Refusal, match=r"b_enc is \[4\], which does not go with W_enc \[5, 9\]"):
        saelens.read(folder)
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(Refusal, match="cannot be read as safetensors"):
        saelens.read(folder)
