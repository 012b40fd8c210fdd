"""A page of cards: the same bytes, nothing unescaped, and what is on it."""

from replications.report import pages

CARD = {"feature": 7, "label": "a & b", "facts": [], "promotes": [], "suppresses": [], "contexts": [],
        "histogram": None}  # fmt: skip


def context(*tokens, activations, note="", inside=None):
    return {"tokens": tokens, "activations": activations, "note": note, "inside": inside}


def test_the_page_holds_every_card_and_escapes_it(tmp_path):
    facts = [["density", "0.1 %"], ["empty", ""], ["after", "it"]]
    shown = context(" <b>", "\n", "c", activations=(0.0, 2.0, 1.0))
    card = CARD | {"facts": facts, "promotes": [" the"], "suppresses": ["<"], "contexts": [shown]}
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
    assert "<dd>0.1 %</dd><dt>after</dt><dd>it</dd><dt>promotes</dt>" in text
    assert "<dt>empty</dt>" not in text
    assert "script" not in text


def test_a_context_outside_says_so():
    shown = [context(word, activations=(1.0,), note="[greek]", inside=inside)
             for word, inside in (("in", True), ("out", False), ("either", None))]  # fmt: skip
    cards = [pages._card(CARD | {"contexts": [each]}) for each in shown]
    assert ['class="out"' in card for card in cards] == [False, True, False]
    assert all('<span class="note">[greek]</span>' in card for card in cards)


def test_a_histogram_has_a_bar_for_every_count():
    bars = {"top": 4.0, "every": [0, 2, 0, 1], "inside": [0, 1, 0, 1], "of": "in <a>"}
    text = pages._bars(bars)
    assert text.count("<rect") == 4
    assert "0 to 4" in text
    assert "blue: in &lt;a&gt;" in text
    assert "blue" not in pages._bars(bars | {"inside": [0, 0, 0, 0]})


def test_the_index_escapes_and_links(tmp_path):
    text = pages.write_index(
        tmp_path / "index.html", "Cards", "Read & see.", {"a.b.html": ("T < U", [CARD])}
    ).read_text()
    assert '<a href="a.b.html">T &lt; U</a>' in text
    assert '<a href="a.b.html#f7">Feature 7</a>: a &amp; b' in text
    assert 'name="viewport"' in text
