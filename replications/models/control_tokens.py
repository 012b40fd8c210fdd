"""Text is text: which tokens of a vocabulary steer a model, and that no text is read as one of them.

A tokenizer looks for its added tokens in a text before it cuts it into pieces. Told to split special ones, it reads
"<|im_start|>" as the letters that are there. But an added token that is not marked as special is found all the same,
and a unigram vocabulary holds its special tokens as pieces, too. A text that would become one of those is refused.
Runs of blanks and the elements of HTML may be added tokens as well: they mean what they spell, and stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from replications.stimuli.spans import Span

MASKS = ("<mask>", "[MASK]")  # stood for hidden words in training, whether or not the vocabulary marks them
BLANKS = " \n\t▁"
MARKUP = re.compile(
    r"</?(?:a|b|blockquote|body|caption|code|div|em|footer|h[1-6]|html|i|iframe|img|li|s|span|strong|sub|sup|table"
    r"|tbody|td|tfoot|th|thead|tr|u|ul)>"
)
AROUND = 20  # characters on either side that a refusal quotes


@lru_cache(maxsize=4)
def spellings(tokenizer: Any) -> dict[int, str]:
    """Id -> spelling of every token that is no text."""
    added = tokenizer.added_tokens_decoder.items()
    found = {index: str(token) for index, token in added if token.special or not _means_itself(str(token))}
    vocabulary = tokenizer.get_vocab()
    return found | {vocabulary[mask]: mask for mask in MASKS if mask in vocabulary}


def first_in(
    tokenizer: Any, text: str, ids: Sequence[int], spans: Sequence[Span], frame: Iterable[int | None]
) -> str | None:
    """The place of the first control token that `text` has become, in quotes; None if all its tokens are text.

    `frame` are the ids put around every text. The token for what a vocabulary lacks is one only where it is spelled.
    """
    known = spellings(tokenizer)
    around = set(frame)
    if known.keys().isdisjoint(ids) and around.isdisjoint(ids):
        return None
    for index, (start, end) in zip(ids, spans, strict=True):
        unknown = index == tokenizer.unk_token_id
        if (index in known or index in around) and not (unknown and not _spells(tokenizer, text[start:end])):
            return repr(text[max(0, start - AROUND) : end + AROUND])
    return None


def _means_itself(spelling: str) -> bool:
    return not spelling.strip(BLANKS) or MARKUP.fullmatch(spelling) is not None


def _spells(tokenizer: Any, text: str) -> bool:
    """Whether this text, as the tokenizer normalises it, is the spelling of its unknown token."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    return (normalizer.normalize_str(text) if normalizer else text).strip(BLANKS) == tokenizer.unk_token
