"""Texts cut into windows, and contexts that a model writes."""

import pytest
import torch
from rome_editing import oracle
from toy_tokenizer import toy_encode

from replications.errors import Refusal
from replications.rome_editing import moments
from replications.rome_editing.contexts import write_contexts
from replications.stimuli.spans import Encoded


@pytest.fixture
def books(tmp_path):
    """Two texts of numbered words; the last tenth begins at word 900."""
    for name in ("a", "b"):
        (tmp_path / name).write_text(" ".join(f"{name}{i:03}" for i in range(1000)))
    return [tmp_path / "a", tmp_path / "b"]


def numbers(windows):
    known = {toy_encode(f"{name}{i:03}").ids[1]: i for name in "ab" for i in range(1000)}
    known |= {toy_encode(f"x {name}{i:03}").ids[2]: i for name in "ab" for i in range(1000)}
    return {known[token] for token in windows[:, 1:].flatten().tolist()}


def windows(books, **options):
    return moments.text_windows(books, toy_encode, **{"n": 6, "width": 8, "seed": 0} | options)


def test_windows_are_of_one_width_and_begin_as_every_text_does(books):
    found = windows(books)
    assert found.shape == (6, 8)
    assert (found[:, 0] == 1).all()
    assert torch.equal(found, windows(books))
    assert not torch.equal(found, windows(books, seed=1))


def test_held_out_text_is_the_end_that_nothing_else_reads(books):
    assert max(numbers(windows(books, n=60))) < 900
    assert min(numbers(windows(books, held_out=True))) >= 900


def test_too_little_text_is_refused(books):
    books[0].write_text("a b c")
    with pytest.raises(Refusal, match="the texts a are too short for 6 windows of 8 tokens"):
        windows(books[:1])


class Tokenizer:
    def batch_decode(self, rows, skip_special_tokens):
        return [" ".join(f"w{token}\n" for token in row) for row in rows]


def test_contexts_are_the_models_own_continuations():
    model = oracle.hf_model("llama")

    def encode(text):
        return Encoded(text, [9], [(0, 3)])

    def write(seed):
        return write_contexts(model, Tokenizer(), encode, [[2, 3], [4, 1]], seed)

    made = write(0)
    assert made[0] == ""
    assert [len(text.split()) for text in made[1:]] == [3, 3, 3, 5]
    assert all(text.startswith("w9 ") and text.endswith(". ") and "\n" not in text for text in made[1:])
    assert made == write(0)
    assert made != write(1)
    for text in made[1:]:  # each token is among the five likeliest
        ids = [int(word.strip("w.")) for word in text.split()]
        with torch.no_grad():
            likeliest = model(torch.tensor([ids])).logits[0].topk(5).indices
        assert all(ids[i + 1] in likeliest[i] for i in range(len(ids) - 1))
