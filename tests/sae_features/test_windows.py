"""Labels and characters of every token against the text they come from; which windows are drawn."""

import numpy as np
import pytest
from dictionaries import tiny

from replications.dictionaries import corpus
from replications.dictionaries.corpus import Document, Windows
from replications.errors import Refusal
from replications.models import load
from replications.sae_features import classes, windows
from replications.sae_features.classes import CLASSES

TEXTS = (
    Document("udhr", "heb", "שלום 12 abc, " * 30), Document("base64", "base64", "Zm9v1234" * 40),
    Document("udhr", "fra", "Égalité des droits. " * 20), Document("program-text", "six", "def f(x): return 7\n" * 20),
    Document("udhr", "rus", "Все люди " * 20), Document("udhr", "ukr", "Всі люди " * 20),
)  # fmt: skip


def cut(held_out=False, texts=TEXTS):
    found = corpus.cut(texts, lambda parts: load.encode(tiny.loaded(), parts), width=9, held_out=held_out)
    return found, windows.label(tiny.loaded(), found, held_out=held_out)


@pytest.mark.parametrize("held_out", [False, True])
def test_every_token_is_labelled_by_its_own_characters(held_out):
    found, labelled = cut(held_out)
    rules = {"hebrew": lambda text, _: any("א" <= c <= "ת" for c in text),
             "cyrillic": lambda text, _: any("Ѐ" <= c <= "ӿ" for c in text),
             "digits": lambda text, of: any(c in "0123456789" for c in text) and of.source != "base64",
             "base64": lambda _, of: of.source == "base64", "code": lambda _, of: of.source == "program-text",
             "french": lambda _, of: of.name == "fra"}  # fmt: skip
    for window in range(len(found.tokens)):
        part, of = labelled.parts[found.document[window]], TEXTS[found.document[window]]
        for position in range(8):
            start, end = labelled.spans[window, position]
            for name, rule in rules.items():
                wanted = rule(part[start:end], of) and end > start
                assert labelled.inside[window, position, CLASSES.index(name)] == wanted, (name, part[start:end])


def test_pieces_add_up_to_the_text():
    found, labelled = cut()
    for window in range(len(found.tokens)):
        start, end = labelled.spans[window, 0, 0], labelled.spans[window, :, 1].max()
        assert "".join(labelled.pieces(window)) == labelled.parts[found.document[window]][start:end]


def test_contexts_join_what_is_alike():
    _, labelled = cut()
    assert labelled.contexts == ("base64", "code", "cyrillic", "fra", "hebrew")
    assert classes.context(Document("sotu", "x", "")) == "english"
    assert classes.context(Document("udhr", "deu_1996", "Recht")) == "deu"
    assert classes.context(Document("udhr", "none", "12")) == "none"


def test_windows_of_other_texts_are_refused():
    found, _ = cut()
    changed = Windows(found.tokens[::-1].copy(), found.document, found.documents)
    with pytest.raises(Refusal, match="the windows are not those that their documents are cut into"):
        windows.label(tiny.loaded(), changed, held_out=False)


def test_draws_go_round_the_documents_without_repeating():
    document = np.repeat([0, 1, 2, 3], [40, 2, 10, 5]).astype(np.int32)
    texts = tuple(Document("a" if i < 3 else "b", str(i), "") for i in range(4))
    some = Windows(np.zeros((57, 3), np.int32), document, texts)
    chosen = windows.draw(some, {"a": 3, "b": 1}, 12, seed=0)
    assert len(set(chosen.tolist())) == len(chosen) == 12
    assert np.bincount(document[chosen]).tolist() == [4, 2, 3, 3]
    assert len(windows.draw(some, {"a": 1, "b": 1}, 100, seed=0)) == 50 + 5
    with pytest.raises(Refusal, match="no window of source 'c'"):
        windows.draw(some, {"c": 1}, 12, seed=0)
