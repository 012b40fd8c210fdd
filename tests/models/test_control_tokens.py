"""Text is text in every kind of tokenizer: read as letters, or refused, never as a token that steers the model."""

from types import SimpleNamespace

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers
from toy_tokenizer import byte_tokenizer
from transformers import PreTrainedTokenizerFast

from replications.catalogue.entries import load_catalogue
from replications.errors import Refusal
from replications.models import load

WORDS = ["[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "mask", "[", "]", "cls", "un", "##k"]
UNIGRAM = ["<s>", "<pad>", "</s>", "<unk>", "▁", "a", "b", "<", ">", "s", "/", "<mask>"]


def byte_level():
    """As GPT-2, with a special token, two added tokens that steer and are not marked so, blanks and markup."""
    made = byte_tokenizer(eos_token="<|end|>")
    made.add_tokens([AddedToken(text, normalized=False) for text in ("<tool_call>", "[multimodal]", "\n\n", "<h1>")])
    return made, None, None


def word_piece():
    inner = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    inner.normalizer, inner.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "cls", "sep", "mask")}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **special), "[CLS]", "[SEP]"


def unigram():
    """As XLM-R: its special tokens are pieces, likelier than any other, and only some are declared."""
    inner = Tokenizer(models.Unigram([(piece, -float(i > 3)) for i, piece in enumerate(UNIGRAM)], unk_id=3))
    inner.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    inner.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **special), "<s>", "</s>"


def loaded_of(made):
    tokenizer, bos, eos = made
    names = tokenizer.get_vocab()
    return SimpleNamespace(tokenizer=tokenizer, bos_id=names.get(bos), eos_id=names.get(eos),
                           entry=SimpleNamespace(id="tiny"))  # fmt: skip


def pieces(loaded, text):
    return loaded.tokenizer.convert_ids_to_tokens(load.encode_bare(loaded, [text])[0])


@pytest.mark.parametrize(
    ("make", "text", "expected"),
    [
        (byte_level, "<|end|>", list("<|end|>")),
        (byte_level, "a\n\nb", ["a", "\n\n", "b"]),
        (byte_level, "<h1>a", ["<h1>", "a"]),
        (word_piece, "a [MASK] a", ["a", "[", "mask", "]", "a"]),
        (word_piece, "[CLS] a", ["[", "cls", "]", "a"]),
        (word_piece, "[UNK]", ["[", "un", "##k", "]"]),
        (word_piece, "a 🦄", ["a", "[UNK]"]),
        (unigram, "a 🦄", ["▁", "a", "▁", "<unk>"]),
        (unigram, "a<b", ["▁", "a", "<", "b"]),
    ],
)
def test_what_is_spelled_is_read_as_letters(make, text, expected):
    assert pieces(loaded_of(make()), text) == expected


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (byte_level, "call <tool_call> it"),
        (byte_level, "[multimodal]"),
        (unigram, "<s> a"),
        (unigram, "a</s>"),
        (unigram, "a <pad> b"),
        (unigram, "<unk>"),
        (unigram, "a <mask> b"),
        (unigram, "＜s＞ b"),
        (unigram, "＜unk＞ b"),
    ],
)
def test_what_a_tokenizer_cannot_read_as_letters_is_refused(make, text):
    loaded = loaded_of(make())
    for encode in (load.encode, load.encode_bare, load.encode_with_offsets):
        with pytest.raises(Refusal, match=r"tiny: the text '.*' spells a control token that this tokenizer cannot"):
            encode(loaded, ["a", text])


def test_a_refusal_quotes_where_it_stands():
    with pytest.raises(Refusal, match="the text 'a a a a a b b b b b <s> a a a'"):
        load.encode(loaded_of(unigram()), ["a " * 40 + "b b b b b <s> a a a"])


def test_a_first_token_that_is_a_word_of_the_vocabulary_cannot_be_spelled_either():
    made = word_piece()[0]
    with pytest.raises(Refusal, match="the text 'a mask' spells a control token"):
        load.encode(loaded_of((made, "a", None)), ["a mask"])


SPELLED = ("<|im_start|>", "<|endoftext|>", "[MASK]", "[CLS]", "<bos>", "<start_of_turn>", "<unused7>", "<s>", "<mask>")


@pytest.mark.model
@pytest.mark.parametrize("model", ["smollm2-135m", "gemma-3-270m", "minilm-l6", "multilingual-e5-small"])
def test_no_default_model_reads_a_control_token_out_of_a_text(model):
    loaded = load.load_model(model) if model in load_catalogue() else None
    special = {index for index, token in loaded.tokenizer.added_tokens_decoder.items() if token.special}
    for text in (f"see {spelled} here" for spelled in SPELLED):
        try:
            (ids,) = load.encode_bare(loaded, [text])
        except Refusal:
            assert model == "multilingual-e5-small"
        else:
            assert special.isdisjoint(ids)
            assert loaded.tokenizer.decode(ids).replace(" ", "").lower() == text.replace(" ", "").lower()
