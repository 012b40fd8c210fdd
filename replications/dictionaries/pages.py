"""Feature cards as one static page per dictionary: no script, no network, the same bytes for the same cards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from replications.files import write_text
from replications.report.escape import html as escape

STYLE = """body{font:14px/1.5 sans-serif;margin:2em auto;max-width:60em;color:#222}
article{border-top:1px solid #ccc;padding:.6em 0}h2{font-size:1em;margin:.2em 0}
dl{display:grid;grid-template-columns:max-content 1fr;gap:0 1em;margin:0}dt{color:#666}dd{margin:0}
ol{margin:.3em 0;padding-left:1.5em}li{white-space:pre-wrap;overflow-wrap:anywhere}mark{border-radius:2px}"""


@dataclass(frozen=True)
class Context:
    """Tokens of a window's part as text, and the feature's activation on each of them."""

    tokens: tuple[str, ...]
    activations: tuple[float, ...]


@dataclass(frozen=True)
class Card:
    """One feature: what it is shown to be about, facts by name, tokens that it makes likelier and less likely."""

    feature: int
    label: str
    facts: dict[str, str]
    promotes: tuple[str, ...]
    suppresses: tuple[str, ...]
    contexts: tuple[Context, ...]


def top_positions(f: Float[Tensor, "w t"], n: int) -> list[tuple[int, int]]:
    """(window, position) of a feature's n largest activations, at most one of each window, largest first."""
    values, positions = f.max(dim=1)
    order = values.argsort(descending=True, stable=True)[:n].tolist()
    return [(window, int(positions[window])) for window in order if values[window] > 0]


def context(tokens: Sequence[str], activations: Sequence[float], at: int, *, around: int = 10) -> Context:
    """The part of a window around a position."""
    start, end = max(0, at - around), at + around + 1
    return Context(tuple(tokens[start:end]), tuple(activations[start:end]))


def logit_effect(
    direction: Float[Tensor, " d"], unembedding: Float[Tensor, "vocab d"], n: int
) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Tokens whose logits a direction in the residual stream raises most and lowers most, by its product with them."""
    effect = unembedding @ direction
    return torch.topk(effect, n).indices, torch.topk(-effect, n).indices


def write_page(path: Path, title: str, introduction: str, cards: Sequence[Card]) -> Path:
    """Write the page; every text is escaped."""
    body = "\n".join(_card(card) for card in cards)
    return write_text(path, (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f"<style>\n{STYLE}\n</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n<p>{escape(introduction)}</p>\n"
        f"{body}\n</body>\n</html>\n"
    ))  # fmt: skip


def _card(card: Card) -> str:
    facts = card.facts | {"promotes": "  ".join(map(repr, card.promotes)),
                          "suppresses": "  ".join(map(repr, card.suppresses))}  # fmt: skip
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts.items() if text)
    shown = "".join(f"<li>{_marked(each)}</li>" for each in card.contexts)
    head = f"<h2>{card.feature}: {escape(card.label)}</h2>"
    return f'<article id="f{card.feature}">{head}<dl>{rows}</dl><ol>{shown}</ol></article>'


def _marked(shown: Context) -> str:
    """Tokens with the activation as the depth of their background."""
    top = max(shown.activations, default=0) or 1
    parts = []
    for token, value in zip(shown.tokens, shown.activations, strict=True):
        text = escape(token.replace("\n", "⏎"))
        shade = f'<mark style="background:rgba(221,132,82,{value / top:.2f})">{text}</mark>'
        parts.append(shade if value > 0 else text)
    return "".join(parts)
