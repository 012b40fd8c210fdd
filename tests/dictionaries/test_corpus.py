"""Windows of tokens: whole, disjoint from the held-out ones, in their shares; and what the texts are."""

import base64

import numpy as np
import pytest

from replications.dictionaries import corpus
from replications.dictionaries.corpus import Document
from replications.errors import Refusal

TEXTS = [Document("a", "a1", "x" * 200), Document("b", "b1", "y" * 100), Document("a", "a2", "z" * 7)]


def encode(parts):
    """A character is a token."""
    return [[ord(letter) for letter in part] for part in parts]


def test_windows_are_whole_and_know_their_document():
    windows = corpus.cut(TEXTS, encode, width=20)
    assert windows.tokens.shape == (9 + 4, 20)
    assert windows.sources() == ["a"] * 9 + ["b"] * 4
    assert set(windows.tokens[-1]) == {ord("y")}


def test_a_first_token_stands_before_every_window_once():
    windows = corpus.cut(TEXTS, encode, width=20, first=1)
    assert (windows.tokens[:, 0] == 1).all()
    assert (windows.tokens[:, 1:] != 1).all()
    assert len(windows.tokens) == 9 + 4


def test_the_end_of_every_text_is_held_out():
    counted = [Document("a", "n", "".join(chr(i) for i in range(1000)))]
    seen, held = (set(corpus.cut(counted, encode, width=10, held_out=side).tokens.flatten()) for side in (False, True))
    assert not seen & held
    assert (max(seen), min(held), len(seen | held)) == (899, 900, 1000)


@pytest.mark.parametrize("texts", [[], [Document("a", "a", "")], [Document("a", "a", "short")]])
def test_a_corpus_without_a_window_is_refused(texts):
    name = "a" if texts else "no source"
    with pytest.raises(Refusal, match=rf"the corpus \({name}\) has no window of 20 tokens"):
        corpus.cut(texts, encode, width=20)


def test_sources_have_their_shares_and_go_round():
    windows = corpus.cut(TEXTS, encode, width=20)
    order = corpus.order(windows, {"a": 3, "b": 1}, 40, 0)
    sources = np.array(windows.sources())[order]
    assert [(sources == name).sum() for name in "ab"] == [30, 10]
    times = np.bincount(order, minlength=13)
    assert times[:9].max() - times[:9].min() <= 1  # none a third time before all have been there twice
    assert np.array_equal(order, corpus.order(windows, {"a": 3, "b": 1}, 40, 0))
    assert not np.array_equal(order, corpus.order(windows, {"a": 3, "b": 1}, 40, 1))


def test_a_sample_without_repetition_ends_with_its_source():
    windows = corpus.cut(TEXTS, encode, width=20)
    order = corpus.order(windows, {"a": 3, "b": 1}, 40, 0, again=False)
    assert len(order) == len(set(order.tolist())) < 40
    sources = np.array(windows.sources())
    assert (sources[order] == "b").sum() == min(10, (sources == "b").sum())


def test_a_source_without_text_is_refused():
    with pytest.raises(Refusal, match="no window of source 'c', which should have a share"):
        corpus.order(corpus.cut(TEXTS, encode, width=20), {"a": 1, "c": 1}, 4, 0)


def test_a_page_is_its_paragraphs():
    page = "<html><head><title>no</title></head><body><h1>Head</h1>\n<p>One\n two &amp; three</p><p></p></body></html>"
    assert corpus._paragraphs(page) == "Head\nOne two & three"


def test_what_a_program_writes_is_what_it_is_called():
    numbers, encoded = (document.text for document in corpus.documents(sources=("numbers", "base64")))
    assert set(numbers) <= set("0123456789, \n")
    assert len(numbers) == len(encoded) == corpus.MADE_LENGTH
    lines = encoded.splitlines()
    assert {len(line) for line in lines[:-1]} == {76}
    assert len(base64.b64decode("".join(lines[:-1]))) == 57 * (len(lines) - 1)


def test_the_digest_knows_every_text():
    assert corpus.digest(TEXTS) == corpus.digest(list(TEXTS))
    assert len({corpus.digest(TEXTS), corpus.digest(TEXTS[:2]), corpus.digest(TEXTS[::-1])}) == 3


@pytest.mark.model
def test_the_real_corpus_has_scripts_and_sources():
    documents = corpus.documents(2000)
    names = {document.name for document in documents}
    assert {"heb", "arb", "rus", "cmn_hans", "jpn", "melville-moby_dick", "bottle", "base64"} <= names
    assert all(len(document.text) > 1000 for document in documents)
    hebrew = next(document.text for document in documents if document.name == "heb")
    assert sum("\u0590" <= letter <= "\u05ff" for letter in hebrew) > 1000
