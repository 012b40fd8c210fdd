"""Template grammar -> tokens with named positions (S2, END), and who was dropped and why.

The corrupted prompt swaps the repeated subject for the other name (symmetric token replacement), so the right answer
swaps as well: in "John and Mary went to the store. John bought a bottle of milk and gave it to", S is John, IO is Mary;
with "Mary bought" it is the other way round.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from replications.errors import Refusal
from replications.stimuli.language import IOIStimuli
from replications.stimuli.spans import Encoded, Encoder, continuation, is_whole, tokens_of

MIN_NAMES = 8
TRIES_PER_PROMPT = 20


@dataclass(frozen=True)
class Prompt:
    """One clean and corrupted prompt; `s2` is the token index of the repeated subject, `io`/`s` the answers' ids."""

    template: int
    order: str  # ABBA: IO is named first; BABA: S is named first
    io: str
    s: str
    clean: Encoded
    corrupted: Encoded
    s2: int
    answers: tuple[int, int]


@dataclass(frozen=True)
class PromptSet:
    """The article's pair, the grammar's prompts, and how many candidates were dropped for which reason."""

    article: Prompt
    prompts: list[Prompt]
    dropped: dict[str, int]


def one_token_names(names: list[str], encode: Encoder, prompt: str, prefix: str) -> list[str]:
    """The names that continue `prompt` as exactly one token. Refuses when fewer than eight remain."""
    kept = [name for name in names if len(continuation(encode, prompt, prefix + name) or ()) == 1]
    if len(kept) < MIN_NAMES:
        raise Refusal(
            f"only {len(kept)} of {len(names)} names are one token for this model; at least {MIN_NAMES} are needed: "
            "add names to `ioi.names` in the language's stimulus file"
        )
    return kept


def fill(template: str, first: str, second: str, subject: str, **slots: str) -> tuple[str, int]:
    """The prompt's text and the character at which the repeated subject begins."""
    head, tail = template.split("{S}")
    values = {"A": first, "B": second, **slots}
    start = len(head.format(**values))
    return head.format(**values) + subject + tail.format(**values), start


def make_prompt(
    template: tuple[int, str], order: str, io: str, s: str, encode: Encoder, prefix: str, **slots: str
) -> Prompt | str:
    """One prompt pair, or the reason why this combination cannot be used."""
    number, text = template
    names = (io, s) if order == "ABBA" else (s, io)
    clean_text, start = fill(text, *names, s, **slots)
    corrupted_text, _ = fill(text, *names, io, **slots)
    clean, corrupted = encode(clean_text), encode(corrupted_text)
    subject = tokens_of(clean, start, start + len(s))
    other = tokens_of(corrupted, start, start + len(io))
    whole = is_whole(clean, subject, start, start + len(s)) and is_whole(corrupted, other, start, start + len(io))
    if len(subject) != 1 or subject != other or not whole:
        return "the repeated name is not one token"
    if len(clean.ids) != len(corrupted.ids):
        return "clean and corrupted prompt differ in length"
    answers = [continuation(encode, clean_text, prefix + name) or [] for name in (io, s)]
    if any(len(answer) != 1 for answer in answers):
        return "the answer is not one token"
    return Prompt(number, order, io, s, clean, corrupted, subject[0], (answers[0][0], answers[1][0]))


def build_prompts(stimuli: IOIStimuli, encode: Encoder, *, prefix: str, n: int, seed: int) -> PromptSet:
    """n distinct prompts that go round the templates, both name orders equally often, fillers drawn with `seed`.

    Refuses when the article's pair cannot be tokenised or fewer than n prompts can be made.
    """
    pair = stimuli.article
    article = make_prompt((-1, pair.template), "BABA", pair.io, pair.s, encode, prefix)
    if isinstance(article, str):
        raise Refusal(f"the article's pair ({pair.s}/{pair.io}) cannot be used with this model: {article}")
    names = one_token_names(stimuli.names, encode, article.clean.text, prefix)
    dropped: Counter[str] = Counter({"name is not one token": len(stimuli.names) - len(names)})
    prompts: list[Prompt] = []
    rng, seen = np.random.default_rng(seed), set[str]()
    for _ in range(n * TRIES_PER_PROMPT):
        if len(prompts) == n:
            break
        made = _draw(stimuli, names, len(prompts), rng, encode, prefix)
        if isinstance(made, str) or made.clean.text in seen:
            dropped[made if isinstance(made, str) else "drawn twice"] += 1
            continue
        seen.add(made.clean.text)
        prompts.append(made)
    if len(prompts) < n:
        raise Refusal(f"only {len(prompts)} of {n} prompts could be made; dropped: {dict(dropped)}")
    return PromptSet(article, prompts, {reason: count for reason, count in sorted(dropped.items()) if count})


def _draw(
    stimuli: IOIStimuli, names: list[str], i: int, rng: np.random.Generator, encode: Encoder, prefix: str
) -> Prompt | str:
    """The i-th prompt with fresh fillers: template and name order follow from i, so that both stay balanced."""
    count = len(stimuli.templates)
    io, s = (names[k] for k in rng.choice(len(names), size=2, replace=False))
    place = stimuli.places[rng.integers(len(stimuli.places))]
    object_ = stimuli.objects[rng.integers(len(stimuli.objects))]
    order = ("ABBA", "BABA")[(i % count + i // count) % 2]
    template = (i % count, stimuli.templates[i % count])
    return make_prompt(template, order, io, s, encode, prefix, place=place, object=object_)
