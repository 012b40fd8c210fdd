"""Feature cards as one static page per dictionary: no script, no network, the same bytes for the same cards.

A card is the tree that JSON holds of a `dictionaries.cards.Card`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from pathlib import Path
from typing import Any

from replications.files import write_text
from replications.report.escape import html as escape

PageTree = Mapping[str, Any]

INDEX = "index.html"
INSIDE, OUTSIDE = "#0072b2", "#b5b5b5"
STYLE = """body{font:14px/1.5 sans-serif;margin:2em auto;max-width:60em;padding:0 1em;color:#222;background:#fff}
article{border-top:1px solid #ccc;padding:.6em 0}h1{font-size:1.4em}h2{font-size:1em;margin:.2em 0}
dl{display:grid;grid-template-columns:max-content 1fr;gap:0 1em;margin:0}dt{color:#595959}
dd{margin:0;overflow-wrap:anywhere}ol{margin:.3em 0;padding-left:1.5em}li{overflow-wrap:anywhere}
.text{white-space:pre-wrap}.note{color:#595959;font-size:.9em}.out>.note{color:#a33c00}.out>.text{opacity:.75}
mark{border-radius:2px}figure{margin:.4em 0}figcaption{color:#595959;font-size:.9em}svg{display:block}
@media(max-width:40em){dl{grid-template-columns:1fr}dt{margin-top:.3em}}"""
BAR, TALL = 8, 48  # of a histogram: pixels of a bar


def write_page(path: Path, title: str, introduction: str, cards: Sequence[PageTree]) -> Path:
    """Write the page, which leads back to the index beside it; every text is escaped."""
    parts = [f'<p><a href="{INDEX}">All pages of this model</a></p>', f"<p>{escape(introduction)}</p>"]
    return write_text(path, _page(title, [*parts, *(_card(card) for card in cards)]))


def write_index(path: Path, title: str, introduction: str, pages: Mapping[str, tuple[str, Sequence[PageTree]]]) -> Path:
    """Write a page that leads to every card of the pages beside it: title and cards by file name."""
    parts = [f"<p>{escape(introduction)}</p>"]
    for name, (heading, cards) in pages.items():
        link, listed = escape(name), [(card["feature"], escape(card["label"])) for card in cards]
        rows = "".join(f'<li><a href="{link}#f{number}">Feature {number}</a>: {label}</li>' for number, label in listed)
        parts.append(f'<section><h2><a href="{link}">{escape(heading)}</a></h2><ul>{rows}</ul></section>')
    return write_text(path, _page(title, parts))


def _page(title: str, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>\n{STYLE}\n</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def _card(card: PageTree) -> str:
    facts = [*card["facts"], *((name, "  ".join(map(repr, card[name]))) for name in ("promotes", "suppresses"))]
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts if text)
    shown, number = "".join(map(_context, card["contexts"])), card["feature"]
    head = f"<h2>Feature {number}: {escape(card['label'])}</h2>"
    bars = _bars(card["histogram"]) if card["histogram"] else ""
    return f'<article id="f{number}">{head}<dl>{rows}</dl>{bars}<ol>{shown}</ol></article>'


def _bars(shown: PageTree) -> str:
    """Bars as high as the logarithm of how many tokens they count, those that are inside in front of all."""
    every, inside = shown["every"], shown["inside"]
    highest, width = log(1 + max(every)), len(every) * BAR
    rects = "".join(
        f'<rect x="{BAR * i}" y="{TALL - height:.1f}" width="{BAR - 1}" height="{height:.1f}" fill="{colour}"/>'
        for counts, colour in ((every, OUTSIDE), (inside, INSIDE))
        for i, count in enumerate(counts)
        if (height := TALL * log(1 + count) / highest)
    )
    told = f"Tokens by activation, 0 to {shown['top']:.3g}, logarithmic counts, the highest bar {max(every)}"
    told += f"; blue: {shown['of']}, grey: all" if any(inside) else ""
    return (
        f'<figure><svg width="{width}" height="{TALL}" viewBox="0 0 {width} {TALL}" role="img">{rects}</svg>'
        f"<figcaption>{escape(told)}</figcaption></figure>"
    )


def _context(shown: PageTree) -> str:
    note = f'<span class="note">{escape(shown["note"])}</span> ' if shown["note"] else ""
    kind = ' class="out"' if shown["inside"] is False else ""
    return f'<li{kind}>{note}<bdi class="text">{_marked(shown)}</bdi></li>'


def _marked(shown: PageTree) -> str:
    """Tokens with the activation as the depth of their background."""
    top = max(shown["activations"], default=0) or 1
    parts = []
    for token, value in zip(shown["tokens"], shown["activations"], strict=True):
        text = escape(token.replace("\n", "⏎"))
        shade = f'<mark style="background:rgba(230,159,0,{value / top:.2f})">{text}</mark>'
        parts.append(shade if value > 0 else text)
    return "".join(parts)
