"""Words that are noun here and verb there: a task that the word alone cannot solve.

A probe of the layer-0 embedding sees the same vector for "the walk" and "they walk" and must guess; what it gains with
depth is context. Word types of train, dev and test are disjoint, so that no type can be learnt by heart.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable

from replications.corpora import tasks, treebanks
from replications.corpora.conllu import Tree
from replications.corpora.edges import EdgeTask, Sentence, Target, make_task
from replications.corpora.splits import by_id
from replications.errors import Unavailable

TAGS = ("NOUN", "VERB")
MINIMUM = 200  # word types
Occurrence = tuple[Tree, int]


def noun_verb(
    language: str = "en", *, seed: int = 0, per_type: int = 5, minimum: int = MINIMUM, source: str | None = None
) -> EdgeTask:
    """One target per sentence: the word, labelled NOUN or VERB.

    Of every type that occurs as both, as many nouns as verbs: `per_type` of each, or as many as the rarer tag has,
    drawn with `seed`. Types are split 60/20/20 by hash. Raises Unavailable when the treebank has fewer than `minimum`.
    """
    key = source or tasks.sources("pos", language)[0]
    occurrences = ambiguous(tree for found in treebanks.trees(key, language).values() for tree in found)
    if len(occurrences) < minimum:
        raise Unavailable(
            f"{key} ({language}) has {len(occurrences)} words that are noun and verb, fewer than {minimum}"
        )
    splits = {
        split: tuple(sentence for word in words for sentence in drawn(word, occurrences[word], seed, per_type))
        for split, words in by_id(sorted(occurrences), str).items()
    }
    return make_task("noun_verb", language, splits, corpora=(treebanks.dataset_of(key, language),))


def ambiguous(trees: Iterable[Tree]) -> dict[str, dict[str, list[Occurrence]]]:
    """Word type (in small letters, letters only) -> tag -> its places; types that occur as noun and as verb."""
    found: dict[str, dict[str, list[Occurrence]]] = defaultdict(lambda: {tag: [] for tag in TAGS})
    for tree in trees:
        for index, (word, tag) in enumerate(zip(tree.words, tree.upos, strict=True)):
            if tag in TAGS and word.isalpha() and len(word) > 1:
                found[word.lower()][tag].append((tree, index))
    return {word: places for word, places in found.items() if all(places.values())}


def drawn(word: str, places: dict[str, list[Occurrence]], seed: int, per_type: int) -> list[Sentence]:
    """The word's sentences: equally many as noun and as verb, named "<sentence>:<word's number>"."""
    count = min(per_type, *map(len, places.values()))
    draw = random.Random(f"{seed}/{word}")
    return [_sentence(place, tag) for tag in TAGS for place in draw.sample(places[tag], count)]


def _sentence(place: Occurrence, tag: str) -> Sentence:
    tree, index = place
    return Sentence(f"{tree.id}:{index + 1}", tree.words, (Target((index, index + 1), None, (tag,)),))
