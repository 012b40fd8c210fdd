"""States are transformers' own, whatever the batch; what is on disk is used again; rows are the words' pieces."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_models import CONFIGS, DECODERS, FAMILY, tiny_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from replications import files
from replications.errors import Refusal
from replications.probing import activations

WORDS = [f"w{i}" for i in range(3, 40)]
SENTENCES = [["w5", "w6-w7", "w8"], ["w9"], ["w10", "w11", "w12-w13-w14", "w15", "w16"], ["w5", "w17"]]


def model_of(family):
    """A random model whose pieces are w<number> and `-`."""
    inner = Tokenizer(models.WordLevel({f"w{i}": i for i in range(60)} | {"-": 60}, unk_token="w0"))
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="w0")
    entry = SimpleNamespace(id=family, n_layers=3)
    return SimpleNamespace(
        hf_model=tiny_model(family).hf_model, tokenizer=tokenizer, bos_id=1, eos_id=None, entry=entry
    )


@pytest.fixture
def bert():
    return model_of("bert")


def alone(model, ids):
    """hidden_states of one sentence, as transformers gives them: [L+1, tokens, d]."""
    with torch.inference_mode():
        return torch.cat(model.hf_model.base_model(torch.tensor([ids]), output_hidden_states=True).hidden_states)


@pytest.mark.parametrize("family", CONFIGS)
def test_states_are_hidden_states_whatever_stands_beside(family, tmp_path):
    model = model_of(family)
    found = activations.extract(model, SENTENCES, cache=tmp_path)
    for number, words in enumerate(SENTENCES):
        ids = activations.wordpieces.align(words, model).ids
        wanted = alone(model, ids)[:, 1:]  # without the first token, which is no word's
        span = found.span(number, 0, len(words))
        mine = torch.stack([found.layer(layer)[span.start : span.stop] for layer in range(4)])
        if family in DECODERS:  # transformers' last hidden state has been through the final norm
            assert not torch.allclose(mine[-1], wanted[-1], atol=1e-2)
            mine[-1] = FAMILY[family].final(model.hf_model, mine[-1])
        assert torch.allclose(mine, wanted, atol=5e-3, rtol=5e-3)


def test_pooling_reads_first_last_and_mean_piece(bert, tmp_path):
    every = activations.extract(bert, SENTENCES, cache=tmp_path)
    for pooling, pick in {"first": lambda x: x[0], "last": lambda x: x[-1], "mean": lambda x: x.mean(dim=0)}.items():
        pooled = activations.extract(bert, SENTENCES, pooling=pooling, cache=tmp_path)
        rows = [pick(every.layer(2)[np.arange(*piece)]) for piece in every.pieces]
        assert torch.allclose(pooled.layer(2), torch.stack(rows), atol=1e-6)
        assert pooled.span(2, 1, 3) == range(5, 7)


def test_a_lost_word_is_a_row_of_zeros_and_an_empty_span(bert, tmp_path, monkeypatch):
    sentences = [["w5", "\u200d", "w6"]]
    monkeypatch.setattr(bert.tokenizer.backend_tokenizer, "normalizer", activations_normalizer())
    found = activations.extract(bert, sentences, pooling="mean", cache=tmp_path, limits={})
    assert found.kept.tolist() == [True, False, True]
    assert found.counts["words_lost"] == 1
    assert torch.count_nonzero(found.layer(1)[1]) == 0
    every = activations.extract(bert, sentences, cache=tmp_path, limits={})
    assert (len(every.span(0, 1, 2)), every.span(0, 0, 3)) == (0, range(2))


def activations_normalizer():
    from tokenizers import normalizers

    return normalizers.BertNormalizer()


def test_what_is_on_disk_is_not_run_again_and_half_a_file_is(bert, tmp_path, monkeypatch):
    monkeypatch.setattr(activations, "SENTENCES", 2)
    first = activations.extract(bert, SENTENCES, cache=tmp_path)
    top = first.layer(3)
    paths = sorted(tmp_path.rglob("*.safetensors"))
    assert len(paths) == len(first.chunks) == 2
    files.write_bytes(paths[1], paths[1].read_bytes()[:100])  # as a full disk leaves it
    ran = []
    monkeypatch.setattr(activations, "states", lambda *a, real=activations.states: ran.append(1) or real(*a))
    again = activations.extract(bert, SENTENCES, cache=tmp_path)
    assert len(ran) == 1
    assert torch.equal(again.layer(3), top)
    activations.extract(bert, SENTENCES, pooling="first", cache=tmp_path)
    assert len(ran) == 1


@pytest.mark.parametrize("change", ["weights", "words"])
def test_other_weights_or_words_are_other_files(bert, tmp_path, change):
    first = activations.extract(bert, SENTENCES, cache=tmp_path)
    other, sentences = bert, SENTENCES
    if change == "words":
        sentences = [*SENTENCES[:-1], ["w5", "w18"]]
    else:
        other = with_negative_words(bert)
    second = activations.extract(other, sentences, cache=tmp_path)
    assert len(list((tmp_path / "activations").iterdir())) == 2
    assert (first.layer(1) - second.layer(1)).abs().max() > 0.1  # states are of the order of 1


def with_negative_words(model):
    """The same model with every word embedding negated: positions are added to them, so that no norm undoes it."""
    other = copy.copy(model)
    other.hf_model = copy.deepcopy(model.hf_model)  # the model itself is shared by all tests
    other.hf_model.base_model.get_input_embeddings().weight.data.neg_()
    return other


def test_rows_at_all_layers_come_from_any_chunk(bert, tmp_path, monkeypatch):
    monkeypatch.setattr(activations, "SENTENCES", 1)
    found = activations.extract(bert, SENTENCES, cache=tmp_path)
    rows = torch.tensor([9, 0, 3, 9, 5])
    wanted = torch.stack([found.layer(layer)[rows] for layer in range(found.n_layers)])
    assert torch.equal(found.at(rows), wanted)


def test_states_beyond_float16_are_scaled_by_a_power_of_two(bert, tmp_path, monkeypatch):
    huge = torch.randn(4, 3, 10, 32, generator=torch.Generator().manual_seed(0))
    huge[2] *= 1e6
    monkeypatch.setattr(activations, "states", lambda _, batch: huge[:, : len(batch), : max(map(len, batch))])
    found = activations.extract(bert, SENTENCES[:3], cache=tmp_path)
    assert found.chunks[0]["scale"].log2().frac().eq(0).all()
    assert found.layer(2).isfinite().all()
    assert torch.allclose(found.layer(2)[0], huge[2, 1, 1], rtol=1e-3)  # the second shortest sentence comes first


def test_what_cannot_be_extracted_is_refused(bert, tmp_path):
    for sentences in ([], [["w5"], []]):
        with pytest.raises(Refusal, match=r"no sentences|no words"):
            activations.extract(bert, sentences, cache=tmp_path)
    with pytest.raises(Refusal, match="unknown pooling 'middle'"):
        activations.extract(bert, SENTENCES, pooling="middle", cache=tmp_path)
    found = activations.extract(bert, SENTENCES, cache=tmp_path)
    for span in ((0, 4), (1, 1), (-1, 2)):
        with pytest.raises(Refusal, match="is not within its 3 words"):
            found.span(0, *span)
