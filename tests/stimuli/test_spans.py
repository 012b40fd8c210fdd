"""Characters to tokens, on a toy encoder that splits before blanks and in the middle of long words."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replications.stimuli.spans import Encoded, continuation, is_whole, tokens_of


def toy(text: str) -> Encoded:
    """Pieces of up to four letters, a blank stays with the piece after it; id = hash of the piece; BOS first."""
    pieces = list(re.finditer(r" ?\S{1,4}|\s", text))
    ids = [1] + [2 + sum(map(ord, m.group())) for m in pieces]
    return Encoded(text, ids, [(0, 0)] + [m.span() for m in pieces])


def test_a_blank_belongs_to_the_token_but_not_to_the_word():
    encoded = toy("to Mary now")
    assert tokens_of(encoded, 3, 7) == [2]
    assert is_whole(encoded, [2], 3, 7)


def test_a_long_word_is_several_tokens_and_part_of_it_is_not_whole():
    encoded = toy("the Alexanders left")
    tokens = tokens_of(encoded, 4, 14)
    assert len(tokens) == 3
    assert is_whole(encoded, tokens, 4, 14)
    assert not is_whole(encoded, tokens[:2], 4, 14)
    assert not is_whole(encoded, [], 4, 14)


def test_bos_covers_nothing():
    assert 0 not in tokens_of(toy("a b"), 0, 3)


def test_continuation_is_what_the_answer_adds():
    assert continuation(toy, "gave it to", " Mary") == toy("gave it to Mary").ids[len(toy("gave it to").ids) :]


def test_continuation_refuses_an_answer_that_changes_the_prompt():
    assert continuation(toy, "gave it to", "ne") is None  # "to" + "ne" is one piece


@given(st.text(st.sampled_from("ab c"), min_size=1, max_size=30), st.data())
def test_every_character_of_a_word_is_covered(text, data):
    encoded = toy(text)
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    covered = {c for i in tokens_of(encoded, start, end) for c in range(*encoded.spans[i])}
    assert {c for c in range(start, end) if not text[c].isspace()} <= covered


@pytest.mark.parametrize("text", ["a", "ab cd", "abcdefgh ij"])
def test_whole_text_is_whole(text):
    encoded = toy(text)
    assert is_whole(encoded, tokens_of(encoded, 0, len(text)), 0, len(text))
