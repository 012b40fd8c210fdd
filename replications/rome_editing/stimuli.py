"""What is to be edited: facts with another object, in tokens, and the prompts that say what the edit did.

As CounterFact has it (Meng et al. 2022, section 3.3): a rewrite prompt, paraphrases of it that should follow, and
neighbours, prompts about other subjects with the same true object, that should not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from replications.errors import Refusal
from replications.rome_editing.rows import Pick, Row, answer_tokens, last_of_subject, merged, with_answer
from replications.rome_editing.values import Rewrite
from replications.stimuli.fact_table import SUBJECT
from replications.stimuli.facts import AskedFacts, Fact, FactSet, Predictor, ask
from replications.stimuli.published_facts import Counterfact
from replications.stimuli.spans import Encoder, Span

KINDS = ("rewrite", "paraphrase", "neighbour")
ESSENCE = {"en": "{subject} is a"}  # what KL keeps in place
ASK_AT_ONCE = 64


@dataclass(frozen=True)
class Request:
    """An edit in words: after `prompt` the model should say `target` instead of `true`."""

    fact: str
    prompt: str
    span: Span
    subject: str
    target: str
    true: str
    paraphrases: tuple[str, ...]
    neighbours: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """An edit in tokens. `rows` are run to score it; `picks` are (P(o*), P(o_c)) on each of them by kind of prompt."""

    request: Request
    rewrite: Rewrite
    rows: tuple[Row, ...]
    picks: tuple[tuple[str, Pick, Pick], ...]


@dataclass(frozen=True)
class Frames:
    """How prompts are made: the texts before them ("" first), what KL is measured on, what stands before an answer."""

    contexts: tuple[str, ...]
    essence: str
    prefix: str


def frames(language: str, contexts: Sequence[str], prefix: str) -> Frames:
    """Of a language. Refuses one in which nobody has said what an essence is."""
    if language not in ESSENCE:
        raise Refusal(f"{__name__}.ESSENCE lacks the counterpart of {ESSENCE['en']!r} in {language!r}: add it")
    return Frames(tuple(contexts), ESSENCE[language], prefix)


def known(
    facts: Sequence[Fact], first: Iterable[str], n: int, encode: Encoder, predict: Predictor, prefix: str, seed: int
) -> tuple[list[Fact], AskedFacts]:
    """n facts that the model knows, in seeded order, those whose ids are in `first` before the others.

    Asked batch by batch until there are enough; also says what was asked. Refuses a model that knows none.
    """
    early = set(first)
    order = [facts[i] for i in np.random.default_rng(seed).permutation(len(facts))]
    order.sort(key=lambda fact: fact.id not in early)
    found = AskedFacts([], [], {})
    for start in range(0, len(order), ASK_AT_ONCE):
        if len(found.known) >= n:
            break
        more = ask(order[start : start + ASK_AT_ONCE], encode, predict, prefix)
        dropped = dict(Counter(found.dropped) + Counter(more.dropped))
        found = AskedFacts(found.known + more.known, found.unknown + more.unknown, dropped)
    if not found.known:
        raise Refusal(f"the model knows none of {len(facts)} facts: an edit would have nothing to overwrite")
    return [one.fact for one in found.known[:n]], found


def editable(table: FactSet, encode: Encoder) -> list[Fact]:
    """The facts that an edit can be scored on: with neighbours, and a subject that does not end with the first token.

    A text's first token is where attention rests: its value can be a thousand times larger than any other, so it is no
    memory of the subject, and a key averaged with the same subject's elsewhere is neither's.
    """
    located = [(fact, last_of_subject(encode, fact.prompt, fact.subject_span)) for fact in table.facts]
    return [fact for fact, found in located if found is not None and found[1] > 0 and table.neighbours(fact)]


def from_facts(facts: Sequence[Fact], table: FactSet, *, neighbours: int, seed: int) -> Iterator[list[Request]]:
    """For each fact its possible requests, one per other object of its relation in seeded order."""
    for fact in facts:
        near = table.neighbours(fact)
        chosen = np.random.default_rng([seed, *fact.id.encode()]).permutation(len(near))[:neighbours]
        prompts = tuple(near[i].prompt for i in sorted(chosen))
        others = tuple(fact.paraphrased(i)[0] for i in range(len(fact.relation.paraphrases)))
        yield [
            Request(fact.id, fact.prompt, fact.subject_span, fact.subject, target, fact.object, others, prompts)
            for target in table.targets(fact, seed)
        ]


def from_counterfact(records: Sequence[Counterfact]) -> Iterator[list[Request]]:
    """One request per record, with its one paraphrase and its one neighbour."""
    for one in records:
        fact = one.fact
        yield [
            Request(fact.id, fact.prompt, fact.subject_span, fact.subject, one.target, fact.object,
                    (fact.paraphrased(0)[0],), (one.neighbour_prompt,))
        ]  # fmt: skip


def tasks(candidates: Iterable[Sequence[Request]], encode: Encoder, frame: Frames) -> tuple[list[Task], dict[str, int]]:
    """For each fact the first of its requests that can be used, and how many were dropped for which reason."""
    made, dropped = [], Counter[str]()
    for requests in candidates:
        tried = [in_tokens(request, encode, frame) for request in requests[:1]]
        for request in requests[1:]:
            if not isinstance(tried[-1], str):
                break
            tried.append(in_tokens(request, encode, frame))
        if tried and isinstance(tried[-1], Task):
            made.append(tried[-1])
        else:
            dropped[str(tried[-1]) if tried else "the relation has no other object"] += 1
    return made, dict(sorted(dropped.items()))


def in_tokens(request: Request, encode: Encoder, frame: Frames) -> Task | str:
    """The request in tokens, or the reason why it cannot be used. Refuses a target that is the true object."""
    if request.target == request.true:
        raise Refusal(f"{request.fact}: the target of an edit should differ from the true object, {request.true!r}")
    target, true = (answer_tokens(encode, request.prompt, frame.prefix + word)
                    for word in (request.target, request.true))  # fmt: skip
    if target is None or true is None:
        return "an object changes the tokens of the prompt"
    if target[0] == true[0]:
        return "the objects begin with the same token"
    tried = [_row(encode, before + request.prompt, len(before), request.span, target) for before in frame.contexts]
    rows, essence = [row for row in tried if row is not None], _essence(request, encode, frame)
    if len(rows) < len(tried) or essence is None:
        return "a token crosses the subject's boundary"
    if rows[0].subject == 0:
        return "the subject ends with the text's first token"
    return Task(request, Rewrite(tuple(rows), target, essence), *_sheet(request, encode, frame))


def _essence(request: Request, encode: Encoder, frame: Frames) -> Row | None:
    """The essence up to the subject's last token, where KL is measured: as released, what follows does not matter."""
    start = frame.essence.index(SUBJECT)
    text = frame.essence.replace(SUBJECT, request.subject)
    located = last_of_subject(encode, text, (start, start + len(request.subject)))
    return None if located is None else Row(located[0][: located[1] + 1], located[1], (located[1],))


def _row(encode: Encoder, text: str, shift: int, span: Span, answer: Sequence[int]) -> Row | None:
    """The prompt in one context, asked for the answer; None when a token crosses the subject's boundary."""
    located = last_of_subject(encode, text, (span[0] + shift, span[1] + shift))
    return None if located is None else with_answer(*located, answer)


def _sheet(
    request: Request, encode: Encoder, frame: Frames
) -> tuple[tuple[Row, ...], tuple[tuple[str, Pick, Pick], ...]]:
    """Rows and picks of all prompts; one in which an object changes the prompt's tokens is left out."""
    kinds, wanted = [], []
    prompts = ((request.prompt,), request.paraphrases, request.neighbours)
    for kind, text in ((kind, text) for kind, texts in zip(KINDS, prompts, strict=True) for text in texts):
        tried = [answer_tokens(encode, text, frame.prefix + word) for word in (request.target, request.true)]
        answers = [answer for answer in tried if answer is not None]
        if len(answers) == len(tried):
            kinds.append(kind)
            wanted += [(encode(text).ids, answer) for answer in answers]
    rows, picks = merged(wanted)
    return tuple(rows), tuple(zip(kinds, picks[::2], picks[1::2], strict=True))


def only_rewrite(task: Task) -> Task:
    """The task with nothing to score but its rewrite prompt, whose rows come first."""
    picks = tuple(pick for pick in task.picks if pick[0] == KINDS[0])
    last = max(pick.row for _, *pair in picks for pick in pair)
    return Task(task.request, task.rewrite, task.rows[: last + 1], picks)
