"""Cutting running text into words around marked places."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replications.corpora.words import cut


def test_words_and_the_spans_of_marked_places():
    text = "Ann's well-kept boat (the red one) sank."
    words, spans = cut(text, [(0, 3), (6, 20), (22, 33)])
    assert words == ("Ann", "'", "s", "well-kept", "boat", "(", "the", "red", "one", ")", "sank", ".")
    assert [words[start:end] for start, end in spans] == [("Ann",), ("well-kept", "boat"), ("the", "red", "one")]


def test_a_place_without_a_word_is_an_error():
    with pytest.raises(ValueError, match="no word between characters 3 and 4"):
        cut("one two", [(3, 4)])


@given(st.text(max_size=40))
def test_nothing_but_space_is_lost(text):
    words, _ = cut(text, [])
    assert "".join(words) == "".join(text.split())


@given(st.lists(st.sampled_from(["Ann", "can't", "go", "!", "état", "北京"]), min_size=1, max_size=8), st.data())
def test_a_marked_word_is_found_where_it_stands(parts, data):
    index = data.draw(st.integers(0, len(parts) - 1))
    start = len(" ".join([*parts[:index], ""]))
    words, [(first, last)] = cut(" ".join(parts), [(start, start + len(parts[index]))])
    assert "".join(words[first:last]) == parts[index]
