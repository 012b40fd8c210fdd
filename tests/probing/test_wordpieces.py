"""Every token goes to the words whose characters it covers, on awkward words, for three kinds of tokenizer."""

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from toy_tokenizer import byte_tokenizer
from transformers import PreTrainedTokenizerFast

from replications.errors import Refusal
from replications.probing import wordpieces

AWKWARD = [
    "well-known",
    "don't",
    "(",
    "…",
    "café",
    "cafe\u0301",
    "😀",
    "👩‍🚀",
    "U.S.",
    "x\u00a0y",
    "10 000",
    "北京大学",
    "İs",
    ".",
]
STRANGE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=4).filter(str.strip)
PIECES = ["[UNK]", "[CLS]", "[SEP]", "water", "##y", "un", "##water", "the", "-", "'", ".", "(", "北", "京", "cafe"]


def loaded(tokenizer, bos=None, eos=None):
    names = tokenizer.get_vocab()
    return SimpleNamespace(tokenizer=tokenizer, bos_id=names.get(bos), eos_id=names.get(eos),
                           entry=SimpleNamespace(id="tiny"))  # fmt: skip


@pytest.fixture(scope="module")
def bert():
    """Word pieces after BERT's own normaliser: lower case, accents stripped, control characters deleted."""
    inner = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    inner.normalizer, inner.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    return loaded(PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]"), "[CLS]", "[SEP]")


@pytest.fixture(scope="module")
def byte_level():
    return loaded(byte_tokenizer())


@pytest.fixture(scope="module")
def greedy():
    """Pieces of sentencepiece's kind: blanks are characters, and a piece may run over a word's end."""
    pieces = [("<unk>", 0.0), ("▁", -9.0), ("a", -5.0), ("b", -5.0), ("ab", -2.0), ("▁ab", -3.0), ("ba", -1.0)]
    inner = Tokenizer(models.Unigram(pieces, unk_id=0))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    return loaded(PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>"))


def pieces_of(words, model, **options):
    aligned = wordpieces.align(words, model, **options)
    return [model.tokenizer.convert_ids_to_tokens(aligned.ids[slice(*span)]) for span in aligned.words], aligned


def test_word_pieces_of_awkward_words(bert):
    words = ["The", "unwater", "-", "cafe\u0301", "watery", "don't", "京.", "\u0301", "(the)"]
    pieces, aligned = pieces_of(words, bert)
    assert pieces == [["the"], ["un", "##water"], ["-"], ["cafe"], ["water", "##y"], ["[UNK]", "'", "[UNK]"],
                      ["京", "."], [], ["(", "the", "[UNK]"]]  # fmt: skip
    assert (aligned.lost, aligned.merged, aligned.cut) == ((7,), (), 0)
    assert (aligned.ids[0], aligned.ids[-1]) == (bert.bos_id, bert.eos_id)


def test_bytes_of_a_character_all_go_to_its_word(byte_level):
    words = ["a", "😀", "é", "(b)", "e\u0301"]
    aligned = wordpieces.align(words, byte_level)
    assert [end - start for start, end in aligned.words] == [len(word.encode()) for word in words]
    assert aligned.lost == aligned.merged == ()


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(AWKWARD) | STRANGE, min_size=1, max_size=6))
def test_bytes_tell_where_each_word_is(byte_level, words):
    """Oracle: with one token per byte, a word's tokens are its bytes in the joined text, blanks at its ends aside."""
    aligned, place = wordpieces.align(words, byte_level), 0
    for word, (start, end) in zip(words, aligned.words, strict=True):
        blank = len(word) - len(word.lstrip())
        assert (start, end) == (place + len(word[:blank].encode()), place + len(word.rstrip().encode()))
        place += len(word.encode()) + 1


def test_a_token_over_two_words_belongs_to_both_and_is_counted(greedy):
    pieces, aligned = pieces_of(["ab", "a"], greedy, separator="")
    assert (pieces, aligned.merged) == ([["▁ab"], ["a"]], ())
    pieces, aligned = pieces_of(["b", "a"], greedy, separator="")
    assert pieces[0][-1] == pieces[1][0] == "ba"
    assert aligned.merged == (0, 1)
    assert pieces_of(["b", "a"], greedy)[1].merged == ()  # a blank parts them


@pytest.mark.parametrize(("limit", "lost", "cut"), [(7, (), 0), (6, (4,), 1), (4, (2, 3, 4), 3)])
def test_a_long_sentence_loses_its_end_and_keeps_its_last_token(bert, limit, lost, cut):
    aligned = wordpieces.align(["water"] * 5, bert, limit=limit)
    assert (aligned.lost, aligned.cut, len(aligned.ids)) == (lost, cut, min(7, limit))
    assert aligned.ids[-1] == bert.eos_id


def test_counts_add_up(bert):
    aligned = wordpieces.align_all([["water", "\u0301"], ["unwater"]], bert, limits={})
    assert wordpieces.counts(aligned) == {
        "sentences": 2, "words": 3, "pieces": 7, "words_merged": 0, "words_lost": 1, "pieces_cut": 0,
    }  # fmt: skip


def test_a_tokenizer_that_loses_or_merges_words_is_refused_above_a_share(bert, greedy):
    with pytest.raises(
        Refusal, match=r"tiny: its tokenizer leaves 1 of 3 words lost \(more than 2%\), as '\u0301' in sentence 2"
    ):
        wordpieces.align_all([["water"], ["water", "\u0301"]], bert)
    assert wordpieces.align_all([["water"] * 60, ["\u0301"]], bert)[1].lost == (0,)
    with pytest.raises(Refusal, match="merged"):
        wordpieces.align_all([["b", "a"]], greedy, separator="")


def test_languages_without_blanks():
    assert [wordpieces.separator(language) for language in ("en", "zh", "ja", "th", "ko")] == [" ", "", "", "", " "]
