"""Prompts for finding a circuit: named positions, and a twin of every prompt that names three unrelated people.

Wang et al. 2022, section 2 and appendix E. In "Then, Anna and Tom went to the store. Tom gave a ball to" IO is Anna,
S1 and S2 are the two mentions of Tom, END is the last token. Its ABC twin, "Then, Lucy and Paul went to the store.
Amy gave a ball to", keeps template, place and object; no name of it occurs in the prompt. All prompts of one template
and name order have the same length and the same positions, so that a mean over them at a position means something.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Protocol

import numpy as np

from replications.errors import Refusal
from replications.ioi.stimuli import one_token_names
from replications.stimuli.spans import Encoded, Encoder, continuation, is_whole, tokens_of

ORDERS = ("ABBA", "BABA")  # ABBA: IO is named first; BABA: S is named first
TRIES_PER_PROMPT = 20
NAMES_PER_PROMPT = 5  # IO, S and the three of the twin


class Grammar(Protocol):
    """What prompts are made of: templates with {A}, {B} (names in order), {S} (the one repeated), {place}, {object}.

    `replications.stimuli.language.IOIStimuli` is one; the paper's own lists are another.
    """

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def places(self) -> Sequence[str]: ...
    @property
    def objects(self) -> Sequence[str]: ...
    @property
    def templates(self) -> Sequence[str]: ...


@dataclass(frozen=True)
class CircuitPrompt:
    """One prompt; `*_at` are token indices (S1+1 is s1_at + 1, END is len(ids) - 1), `*_id` the answers' token ids."""

    template: int
    order: str
    io: str
    s: str
    text: str
    ids: tuple[int, ...]
    abc_ids: tuple[int, ...]
    io_at: int
    s1_at: int
    s2_at: int
    io_id: int
    s_id: int

    @property
    def positions(self) -> tuple[int, int, int, int]:
        """IO, S1, S2 and the length: what prompts of one template and order have in common."""
        return self.io_at, self.s1_at, self.s2_at, len(self.ids)


@dataclass(frozen=True)
class PromptSet:
    """The prompts, and how many candidates were dropped for which reason."""

    prompts: list[CircuitPrompt]
    dropped: dict[str, int]


@dataclass(frozen=True)
class TemplateFrame:
    """A template and the (place, object) pairs that give it one and the same `layout`: token of A, B, S and length."""

    number: int
    template: str
    fillers: list[tuple[str, str]]
    layout: tuple[int, int, int, int]


def build(grammar: Grammar, encode: Encoder, *, prefix: str, n: int, seed: int) -> PromptSet:
    """n distinct prompts that go round the templates, both name orders equally often, fillers drawn with `seed`.

    `prefix` stands between a prompt and its answer. Refuses when too few names are one token or too few prompts fit.
    """
    probe, _ = fill(grammar.templates[0], grammar.names[0], grammar.names[1], grammar.names[0],
                    (grammar.places[0], grammar.objects[0]))  # fmt: skip
    names = one_token_names(list(grammar.names), encode, probe, prefix)
    frames = [frame(i, text, grammar, names, encode) for i, text in enumerate(grammar.templates)]
    dropped: Counter[str] = Counter({"name is not one token": len(grammar.names) - len(names)})
    prompts: list[CircuitPrompt] = []
    rng, seen = np.random.default_rng(seed), set[str]()
    for _ in range(n * TRIES_PER_PROMPT):
        if len(prompts) == n:
            break
        made = _draw(frames, names, len(prompts), rng, encode, prefix)
        if isinstance(made, str) or made.text in seen:
            dropped[made if isinstance(made, str) else "drawn twice"] += 1
            continue
        seen.add(made.text)
        prompts.append(made)
    if len(prompts) < n:
        raise Refusal(f"only {len(prompts)} of {n} circuit prompts could be made; dropped: {dict(dropped)}: "
                      "add names, places or objects to the language's stimulus file")  # fmt: skip
    return PromptSet(prompts, {reason: count for reason, count in sorted(dropped.items()) if count})


def fill(template: str, first: str, second: str, subject: str, filler: tuple[str, str]) -> tuple[str, dict[str, int]]:
    """The text, and the character at which each of A, B and S begins."""
    values = {"A": first, "B": second, "S": subject, "place": filler[0], "object": filler[1]}
    text, starts = "", {}
    for literal, field, _, _ in Formatter().parse(template):
        text += literal
        if field is not None:
            starts[field] = len(text)
            text += values[field]
    return text, {field: starts[field] for field in "ABS"}


def locate(encoded: Encoded, starts: dict[str, int], names: Sequence[str]) -> tuple[int, int, int, int] | None:
    """Token of A, B and S and the length; None when one of the names is not exactly one token."""
    places = []
    for start, name in zip(starts.values(), names, strict=True):
        tokens = tokens_of(encoded, start, start + len(name))
        if len(tokens) != 1 or not is_whole(encoded, tokens, start, start + len(name)):
            return None
        places += tokens
    a, b, subject = places
    return a, b, subject, len(encoded.ids)


def frame(number: int, template: str, grammar: Grammar, names: Sequence[str], encode: Encoder) -> TemplateFrame:
    """The template with the largest set of fillers that share one layout. Refuses a template that has none."""
    used = {field for _, field, _, _ in Formatter().parse(template)}
    places = grammar.places if "place" in used else [""]
    objects = grammar.objects if "object" in used else [""]
    groups: dict[tuple[int, int, int, int], list[tuple[str, str]]] = {}
    three = (names[0], names[1], names[0])
    for filler in ((place, thing) for place in places for thing in objects):
        text, starts = fill(template, *three, filler)
        layout = locate(encode(text), starts, three)
        if layout is not None:
            groups.setdefault(layout, []).append(filler)
    if not groups:
        raise Refusal(f"template {number} ({template!r}) splits its names into several tokens with this model's "
                      "tokenizer: the words before them should let a name be one token")  # fmt: skip
    layout = max(groups, key=lambda key: len(groups[key]))
    return TemplateFrame(number, template, groups[layout], layout)


def make_prompt(
    frame: TemplateFrame, order: str, names: Sequence[str], filler: tuple[str, str], encode: Encoder, prefix: str
) -> CircuitPrompt | str:
    """One prompt and its twin from IO, S and three other names, or the reason why this combination cannot be used."""
    io, s, *others = names
    pair = (io, s) if order == "ABBA" else (s, io)
    text, starts = fill(frame.template, *pair, s, filler)
    encoded = encode(text)
    if locate(encoded, starts, (*pair, s)) != frame.layout:
        return "other positions than its template's"
    first, second, third = others
    abc_text, abc_starts = fill(frame.template, first, second, third, filler)
    abc = encode(abc_text)
    if locate(abc, abc_starts, others) != frame.layout:
        return "the twin has other positions"
    answers = [continuation(encode, text, prefix + name) or [] for name in (io, s)]
    if any(len(answer) != 1 for answer in answers):
        return "the answer is not one token"
    a_at, b_at, s2_at, _ = frame.layout
    io_at, s1_at = (a_at, b_at) if order == "ABBA" else (b_at, a_at)
    return CircuitPrompt(frame.number, order, io, s, text, tuple(encoded.ids), tuple(abc.ids), io_at, s1_at, s2_at,
                         answers[0][0], answers[1][0])  # fmt: skip


def prepended(prompt: CircuitPrompt, sentence: str, encode: Encoder) -> tuple[int, ...]:
    """Token ids of the prompt after an unrelated sentence, which brings its own space (appendix A)."""
    return tuple(encode(sentence + prompt.text).ids)


def _draw(
    frames: Sequence[TemplateFrame], names: list[str], i: int, rng: np.random.Generator, encode: Encoder, prefix: str
) -> CircuitPrompt | str:
    """The i-th prompt with fresh fillers: template and name order follow from i, so that both stay balanced."""
    count = len(frames)
    chosen = frames[i % count]
    five = [names[k] for k in rng.choice(len(names), size=NAMES_PER_PROMPT, replace=False)]
    filler = chosen.fillers[rng.integers(len(chosen.fillers))]
    return make_prompt(chosen, ORDERS[(i % count + i // count) % 2], five, filler, encode, prefix)
