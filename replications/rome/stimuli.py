"""Landmarks -> pairs of prompts of equal token length, by a rule that never looks at a result.

The article's own pair is the exception: it is quoted, and its two names need not have equally many tokens.

The rule: order the landmarks at random (seeded), group them by prompt length in tokens, and pair each with the next one
of its group (cyclically) whose city begins with another token. Every landmark is the clean side of at most one pair.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from replications.errors import Refusal
from replications.stimuli.language import Landmark, LocationStimuli
from replications.stimuli.spans import Encoded, Encoder, continuation, is_whole, tokens_of

MIN_PAIRS = 60


@dataclass(frozen=True)
class LandmarkFact:
    """One landmark's prompt; `subject` are the token indices of its name, `answer` the city's first token id."""

    id: str
    city: str
    prompt: Encoded
    subject: tuple[int, ...]
    answer: int


@dataclass(frozen=True)
class Pair:
    """Two facts; `aligned` is the number of trailing tokens of their prompts that correspond."""

    clean: LandmarkFact
    corrupted: LandmarkFact
    aligned: int


@dataclass(frozen=True)
class PairSet:
    """The article's pair, the pairs made by the rule, all usable facts, and who was dropped for which reason."""

    article: Pair
    pairs: list[Pair]
    facts: list[LandmarkFact]
    dropped: dict[str, int]


def make_fact(landmark: Landmark, frame: str, encode: Encoder, prefix: str) -> LandmarkFact | str:
    """One landmark as a prompt with token positions, or the reason why it cannot be used."""
    text = frame.format(subject=landmark.subject)
    start = frame.index("{subject}")
    end = start + len(landmark.subject)
    prompt = encode(text)
    subject = tokens_of(prompt, start, end)
    answer = continuation(encode, text, prefix + landmark.city)
    if not is_whole(prompt, subject, start, end):
        return "a token crosses the landmark's boundary"
    if answer is None:
        return "the city changes the tokens of the prompt"
    return LandmarkFact(landmark.id, landmark.city, prompt, tuple(subject), answer[0])


def check_pair(clean: LandmarkFact, corrupted: LandmarkFact) -> Pair:
    """The pair, if both prompts have equally many tokens and different answers; refuses otherwise."""
    lengths = len(clean.prompt.ids), len(corrupted.prompt.ids)
    if lengths[0] != lengths[1]:
        raise Refusal(
            f"pair {clean.id}/{corrupted.id}: {lengths[0]} tokens against {lengths[1]} for this model; a pair needs "
            "prompts of equal token length"
        )
    if clean.answer == corrupted.answer:
        raise Refusal(f"pair {clean.id}/{corrupted.id}: both answers begin with the same token")
    return Pair(clean, corrupted, lengths[0])


def quoted_pair(clean: LandmarkFact, corrupted: LandmarkFact) -> Pair:
    """A published pair, which has to be taken as it is: of unequal length, it is aligned at its last token.

    Subject tokens then correspond from the subject's end, as far as the shorter subject reaches.
    """
    tails = [len(fact.prompt.ids) - fact.subject[-1] for fact in (clean, corrupted)]
    if tails[0] != tails[1]:
        raise Refusal(f"pair {clean.id}/{corrupted.id}: what follows the subject is tokenised in two ways")
    if len(clean.prompt.ids) == len(corrupted.prompt.ids):
        return check_pair(clean, corrupted)
    return Pair(clean, corrupted, tails[0] - 1 + min(len(clean.subject), len(corrupted.subject)))


def pair_up(facts: Sequence[LandmarkFact], seed: int) -> list[Pair]:
    """Pairs by the rule in the module's head."""
    order = np.random.default_rng(seed).permutation(len(facts))
    groups: dict[int, list[LandmarkFact]] = defaultdict(list)
    for i in order:
        groups[len(facts[i].prompt.ids)].append(facts[i])
    pairs = []
    for _, group in sorted(groups.items()):
        for i, fact in enumerate(group):
            others = (group[(i + step) % len(group)] for step in range(1, len(group)))
            partner = next((other for other in others if other.answer != fact.answer), None)
            if partner is not None:
                pairs.append(check_pair(fact, partner))
    return [pairs[i] for i in np.random.default_rng(seed).permutation(len(pairs))]


def build_pairs(stimuli: LocationStimuli, encode: Encoder, *, prefix: str, seed: int) -> PairSet:
    """All pairs of one language for one tokenizer. Refuses when the article's pair is unusable or under 60 remain."""
    made = {mark.id: make_fact(mark, stimuli.frame, encode, prefix) for mark in stimuli.landmarks}
    facts = {name: fact for name, fact in made.items() if isinstance(fact, LandmarkFact)}
    dropped = Counter(reason for reason in made.values() if isinstance(reason, str))
    sides = stimuli.article_pair.clean, stimuli.article_pair.corrupted
    missing = [side for side in sides if side not in facts]
    if missing:
        raise Refusal(f"the article's pair cannot be used with this model: {missing[0]}: {made[missing[0]]}")
    article = quoted_pair(*(facts[side] for side in sides))
    pairs = pair_up(list(facts.values()), seed)
    if len(pairs) < MIN_PAIRS:
        raise Refusal(f"only {len(pairs)} pairs of equal token length; at least {MIN_PAIRS} are needed: add landmarks")
    unpaired = len(facts) - len(pairs)
    counts = dict(sorted(dropped.items())) | ({"no partner of equal length": unpaired} if unpaired else {})
    return PairSet(article, pairs, list(facts.values()), counts)
