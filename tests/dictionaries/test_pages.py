"""A page of cards: the same bytes, nothing unescaped, and what is on it."""

import torch

from replications.dictionaries import pages
from replications.dictionaries.pages import Card, Context


def test_the_page_holds_every_card_and_escapes_it(tmp_path):
    shown = Context((" <b>", "\n", "c"), (0.0, 2.0, 1.0))
    card = Card(7, "a & b", {"density": "0.1 %", "empty": ""}, (" the",), ("<",), (shown,))
    files = [pages.write_page(tmp_path / name, "T < U", "Read & see.", [card]) for name in ("a.html", "b.html")]
    text = files[0].read_text()
    assert text == files[1].read_text()
    assert '<article id="f7"><h2>Feature 7: a &amp; b</h2>' in text
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert f'<a href="{pages.INDEX}">' in text
    assert "T &lt; U" in text
    assert " &lt;b&gt;" in text
    assert "<b>" not in text
    assert 'rgba(230,159,0,1.00)">⏎</mark>' in text
    assert 'rgba(230,159,0,0.50)">c</mark>' in text
    assert "<dt>empty</dt>" not in text
    assert "script" not in text


def test_the_strongest_positions_come_from_different_windows():
    f = torch.tensor([[0.0, 3.0, 2.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 5.0]])
    assert pages.top_positions(f, 3) == [(3, 2), (0, 1), (1, 0)]
    assert pages.top_positions(f, 9) == [(3, 2), (0, 1), (1, 0)]


def test_a_context_is_cut_around_its_position():
    cut = pages.context(list("abcdef"), list(range(6)), 1, around=2)
    assert cut.tokens == ("a", "b", "c", "d")
    assert cut.activations == (0, 1, 2, 3)


def test_logit_effects_are_the_products_with_the_unembedding():
    raised, lowered = pages.logit_effect(torch.tensor([1.0, 0.0]), torch.tensor([[2.0, 9], [-3, 0], [1, 0]]), 2)
    assert raised.tolist() == [0, 2]
    assert lowered.tolist() == [1, 2]


def test_a_context_outside_says_so():
    cards = [Card(1, "", {}, (), (), (Context((each,), (1.0,), "[greek]", inside),))
             for each, inside in (("in", True), ("out", False), ("either", None))]  # fmt: skip
    assert ['class="out"' in pages._card(card) for card in cards] == [False, True, False]
    assert all('<span class="note">[greek]</span>' in pages._card(card) for card in cards)


def test_a_histogram_counts_what_is_active():
    a = torch.tensor([0.0, 0.0, 1.0, 1.0, 4.0])
    found = pages.histogram(a, torch.tensor([True, False, False, True, True]), "in <a>")
    assert (found.top, sum(found.every), sum(found.inside)) == (4.0, 3, 2)
    assert (found.every[-1], found.inside[-1]) == (1, 1)
    drawn = pages._bars(found)
    assert drawn.count("<rect") == 4
    assert "0 to 4" in drawn
    assert "blue: in &lt;a&gt;" in drawn
    assert pages.histogram(torch.zeros(3), torch.zeros(3, dtype=torch.bool), "") is None


def test_the_index_escapes_and_links(tmp_path):
    made = {"a.b.html": ("T < U", [Card(7, "a & b", {}, (), (), ())])}
    text = pages.write_index(tmp_path / "index.html", "Cards", "Read & see.", made).read_text()
    assert '<a href="a.b.html">T &lt; U</a>' in text
    assert '<a href="a.b.html#f7">Feature 7</a>: a &amp; b' in text
    assert 'name="viewport"' in text
