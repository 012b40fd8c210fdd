"""Feature cards as one static page per dictionary: no script, no network, the same bytes for the same cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from replications.files import write_text
from replications.report.escape import html as escape

INDEX = "index.html"
INSIDE, OUTSIDE = "#0072b2", "#b5b5b5"
STYLE = """body{font:14px/1.5 sans-serif;margin:2em auto;max-width:60em;padding:0 1em;color:#222;background:#fff}
article{border-top:1px solid #ccc;padding:.6em 0}h1{font-size:1.4em}h2{font-size:1em;margin:.2em 0}
dl{display:grid;grid-template-columns:max-content 1fr;gap:0 1em;margin:0}dt{color:#595959}
dd{margin:0;overflow-wrap:anywhere}ol{margin:.3em 0;padding-left:1.5em}li{overflow-wrap:anywhere}
.text{white-space:pre-wrap}.note{color:#595959;font-size:.9em}.out>.note{color:#a33c00}.out>.text{opacity:.75}
mark{border-radius:2px}figure{margin:.4em 0}figcaption{color:#595959;font-size:.9em}svg{display:block}
@media(max-width:40em){dl{grid-template-columns:1fr}dt{margin-top:.3em}}"""
BINS, BAR, TALL = 32, 8, 48  # of a histogram: how many bars, and pixels


@dataclass(frozen=True)
class Context:
    """Tokens of a window's part as text, the feature's activation on each of them, and what to say of it.

    inside: whether the token of the largest activation is of what the feature is shown for; None where that is nothing.
    """

    tokens: tuple[str, ...]
    activations: tuple[float, ...]
    note: str = ""
    inside: bool | None = None


@dataclass(frozen=True)
class Histogram:
    """Tokens by activation, in equal steps from 0 to `top`: all, and those of what the feature is shown for."""

    top: float
    every: tuple[int, ...]
    inside: tuple[int, ...]
    of: str


@dataclass(frozen=True)
class Card:
    """One feature: what was measured of it in a line, facts by name, tokens that it makes likelier and less likely."""

    feature: int
    label: str
    facts: dict[str, str]
    promotes: tuple[str, ...]
    suppresses: tuple[str, ...]
    contexts: tuple[Context, ...]
    histogram: Histogram | None = None


def top_positions(f: Float[Tensor, "w t"], n: int) -> list[tuple[int, int]]:
    """(window, position) of a feature's n largest activations, at most one of each window, largest first."""
    values, positions = f.max(dim=1)
    order = values.argsort(descending=True, stable=True)[:n].tolist()
    return [(window, int(positions[window])) for window in order if values[window] > 0]


def context(
    tokens: Sequence[str], activations: Sequence[float], at: int, *, around: int = 10, note: str = "",
    inside: bool | None = None,
) -> Context:  # fmt: skip
    """The part of a window around a position."""
    start, end = max(0, at - around), at + around + 1
    return Context(tuple(tokens[start:end]), tuple(activations[start:end]), note, inside)


def histogram(a: Float[Tensor, " n"], inside: Bool[Tensor, " n"], of: str) -> Histogram | None:
    """Of the tokens on which a feature is active; None of one that never is. `of` names what `inside` is about."""
    top = float(a.max())
    if top <= 0:
        return None
    counts = [torch.histc(some.float(), BINS, 0, top) for some in (a[a > 0], a[(a > 0) & inside])]
    return Histogram(top, *(tuple(map(int, each.tolist())) for each in counts), of)


def logit_effect(
    direction: Float[Tensor, " d"], unembedding: Float[Tensor, "vocab d"], n: int
) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Tokens whose logits a direction in the residual stream raises most and lowers most, by its product with them."""
    effect = unembedding @ direction
    return torch.topk(effect, n).indices, torch.topk(-effect, n).indices


def write_page(path: Path, title: str, introduction: str, cards: Sequence[Card]) -> Path:
    """Write the page, which leads back to the index beside it; every text is escaped."""
    parts = [f'<p><a href="{INDEX}">All pages of this model</a></p>', f"<p>{escape(introduction)}</p>"]
    return write_text(path, _page(title, [*parts, *(_card(card) for card in cards)]))


def write_index(path: Path, title: str, introduction: str, pages: Mapping[str, tuple[str, Sequence[Card]]]) -> Path:
    """Write a page that leads to every card of the pages beside it: title and cards by file name."""
    parts = [f"<p>{escape(introduction)}</p>"]
    for name, (heading, cards) in pages.items():
        link = escape(name)
        rows = "".join(f'<li><a href="{link}#f{card.feature}">Feature {card.feature}</a>: {escape(card.label)}</li>'
                       for card in cards)  # fmt: skip
        parts.append(f'<section><h2><a href="{link}">{escape(heading)}</a></h2><ul>{rows}</ul></section>')
    return write_text(path, _page(title, parts))


def _page(title: str, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>\n{STYLE}\n</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def _card(card: Card) -> str:
    facts = card.facts | {"promotes": "  ".join(map(repr, card.promotes)),
                          "suppresses": "  ".join(map(repr, card.suppresses))}  # fmt: skip
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts.items() if text)
    shown = "".join(map(_context, card.contexts))
    head = f"<h2>Feature {card.feature}: {escape(card.label)}</h2>"
    bars = _bars(card.histogram) if card.histogram else ""
    return f'<article id="f{card.feature}">{head}<dl>{rows}</dl>{bars}<ol>{shown}</ol></article>'


def _bars(shown: Histogram) -> str:
    """Bars as high as the logarithm of how many tokens they count, those that are inside in front of all."""
    highest = log(1 + max(shown.every))
    rects = "".join(
        f'<rect x="{BAR * i}" y="{TALL - height:.1f}" width="{BAR - 1}" height="{height:.1f}" fill="{colour}"/>'
        for counts, colour in ((shown.every, OUTSIDE), (shown.inside, INSIDE))
        for i, count in enumerate(counts)
        if (height := TALL * log(1 + count) / highest)
    )
    width = BINS * BAR
    told = f"Tokens by activation, 0 to {shown.top:.3g}, logarithmic counts, the highest bar {max(shown.every)}"
    told += f"; blue: {shown.of}, grey: all" if any(shown.inside) else ""
    return (
        f'<figure><svg width="{width}" height="{TALL}" viewBox="0 0 {width} {TALL}" role="img">{rects}</svg>'
        f"<figcaption>{escape(told)}</figcaption></figure>"
    )


def _context(shown: Context) -> str:
    note = f'<span class="note">{escape(shown.note)}</span> ' if shown.note else ""
    kind = ' class="out"' if shown.inside is False else ""
    return f'<li{kind}>{note}<bdi class="text">{_marked(shown)}</bdi></li>'


def _marked(shown: Context) -> str:
    """Tokens with the activation as the depth of their background."""
    top = max(shown.activations, default=0) or 1
    parts = []
    for token, value in zip(shown.tokens, shown.activations, strict=True):
        text = escape(token.replace("\n", "⏎"))
        shade = f'<mark style="background:rgba(230,159,0,{value / top:.2f})">{text}</mark>'
        parts.append(shade if value > 0 else text)
    return "".join(parts)
