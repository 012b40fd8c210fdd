"""Toy tokenizers. For stimulus tests: one token per word, words over six letters are cut, a BOS in front."""

import re

from replications.stimuli.spans import Encoded


def toy_encode(text: str) -> Encoded:
    """Pieces of up to six letters; a blank stays with the piece after it; ids are stable across prompts."""
    pieces = list(re.finditer(r" ?[^\s]{1,6}", text))
    ids = [1] + [int.from_bytes(m.group().encode()[:7], "big") for m in pieces]
    return Encoded(text, ids, [(0, 0)] + [m.span() for m in pieces])


def byte_tokenizer(**special: str):
    """A byte-level tokenizer without merges: every byte is a token, so spans are easy to check by hand."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {byte: index for index, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner, **special)
