"""Words to word pieces: which tokens of a sentence belong to which of its words, by the characters they cover.

The words are joined, the sentence is tokenised as a whole, as the model would read it, and every token goes to the
words that it overlaps. Three things can go wrong, and all are counted: a word may leave no token behind (a lone control
character), a token may cover two words (where no blank parts them), and a sentence may be longer than the model.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from replications.errors import Refusal
from replications.models.load import Loaded, encode_with_offsets
from replications.stimuli.spans import Encoded, Span, trimmed

MAX_PIECES = 512  # Tenney et al. 2019: 512 word pieces per sentence
LIMITS = {"lost": 0.02, "merged": 0.2}  # shares of words above which a tokenizer is refused: it does not fit the words
PieceLimits = Mapping[str, float]
SPACELESS = ("zh", "ja", "th", "lo", "km", "my")  # languages written without blanks between words


@dataclass(frozen=True)
class Pieces:
    """Token ids of a sentence, and for each of its words the [start, end) of its tokens; (0, 0) for a lost word.

    `merged` are the words that share a token with a neighbour, `lost` those without any, `cut` the number of tokens
    that stood beyond the model's reach.
    """

    ids: list[int]
    words: list[Span]
    merged: tuple[int, ...] = ()
    lost: tuple[int, ...] = ()
    cut: int = 0


def separator(language: str) -> str:
    """What stands between words: a blank, or nothing where the language is written without."""
    return "" if language in SPACELESS else " "


def align(words: Sequence[str], loaded: Loaded, *, separator: str = " ", limit: int = MAX_PIECES) -> Pieces:
    """Token ids of a sentence under the model's own text policy, and the tokens of every word."""
    return align_all([words], loaded, separator=separator, limit=limit, limits={})[0]


def align_all(
    sentences: Sequence[Sequence[str]],
    loaded: Loaded,
    *,
    separator: str = " ",
    limit: int = MAX_PIECES,
    limits: PieceLimits = LIMITS,
) -> list[Pieces]:
    """`align` for many sentences. Refuses a tokenizer that loses or merges more of all words than `limits` say."""
    texts = [separator.join(words) for words in sentences]
    encoded = [Encoded(text, *pair) for text, pair in zip(texts, encode_with_offsets(loaded, texts), strict=True)]
    framed = loaded.eos_id is not None
    aligned = [
        _aligned(words, one, len(separator), limit, framed) for words, one in zip(sentences, encoded, strict=True)
    ]
    _refuse_misfit(sentences, aligned, loaded.entry.id, limits)
    return aligned


def counts(aligned: Sequence[Pieces]) -> dict[str, int]:
    """What evidence records about an alignment: sentences, words, pieces, and words merged, lost and cut off."""
    return {
        "sentences": len(aligned),
        "words": sum(len(one.words) for one in aligned),
        "pieces": sum(len(one.ids) for one in aligned),
        "words_merged": sum(len(one.merged) for one in aligned),
        "words_lost": sum(len(one.lost) for one in aligned),
        "pieces_cut": sum(one.cut for one in aligned),
    }


def _aligned(words: Sequence[str], encoded: Encoded, gap: int, limit: int, framed: bool) -> Pieces:
    ids, spans, cut = _cut(encoded.ids, encoded.spans, limit, framed)
    starts = [0, *accumulate(len(word) + gap for word in words)][: len(words)]
    owned: list[list[int]] = [[] for _ in words]
    merged: set[int] = set()
    for token, span in enumerate(spans):
        owners = _overlapped(trimmed(encoded.text, *span), starts, words)
        merged.update(owners if len(owners) > 1 else ())
        for word in owners:
            owned[word].append(token)
    ranges = [(tokens[0], tokens[-1] + 1) if tokens else (0, 0) for tokens in owned]
    lost = tuple(word for word, tokens in enumerate(owned) if not tokens)
    return Pieces(ids, ranges, tuple(sorted(merged)), lost, cut)


def _cut(ids: list[int], spans: list[Span], limit: int, framed: bool) -> tuple[list[int], list[Span], int]:
    """At most `limit` tokens, the closing one kept; and how many fell away."""
    if len(ids) <= limit:
        return ids, spans, 0
    tail = slice(len(ids) - framed, None)
    return ids[: limit - framed] + ids[tail], spans[: limit - framed] + spans[tail], len(ids) - limit


def _overlapped(span: Span, starts: list[int], words: Sequence[str]) -> list[int]:
    """Words that have a character in `span`; none for a token without characters, as a BOS."""
    if span[0] >= span[1]:
        return []
    first = max(bisect_right(starts, span[0]) - 1, 0)
    reached = range(first, bisect_right(starts, span[1] - 1))
    return [word for word in reached if starts[word] < span[1] and starts[word] + len(words[word]) > span[0]]


def _refuse_misfit(
    sentences: Sequence[Sequence[str]], aligned: Sequence[Pieces], model: str, limits: PieceLimits
) -> None:
    total = sum(map(len, sentences))
    for what, share in limits.items():
        found = [(row, word) for row, one in enumerate(aligned) for word in getattr(one, what)]
        if len(found) > share * total:
            row, word = found[0]
            raise Refusal(
                f"{model}: its tokenizer leaves {len(found)} of {total} words {what} (more than {share:.0%}), as "
                f"{sentences[row][word]!r} in sentence {row + 1}: join the words otherwise, or use another model"
            )
