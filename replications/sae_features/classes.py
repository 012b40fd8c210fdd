"""Classes of tokens and contexts of texts, by rule: the Unicode name of a character, a digit, the text it stands in.

A class is what a feature is held against (Bricken et al. 2023 have Arabic, DNA, base64 and Hebrew); a token is in it if
any of its characters is. A context is what kind of text a window comes from; every text has exactly one.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import cache

import numpy as np
from numpy.typing import NDArray

from replications.dictionaries.corpus import Document

SCRIPTS = {"hebrew": "HEBREW", "arabic": "ARABIC", "cyrillic": "CYRILLIC", "greek": "GREEK",
           "devanagari": "DEVANAGARI", "han": "CJK"}  # fmt: skip
SOURCES = {"base64": "base64", "code": "program-text"}
LANGUAGES = {"french": "fra", "german": "deu_1996"}  # in Latin script, told apart by the declaration's file
DIGITS = "digits"
CLASSES = (*SCRIPTS, *SOURCES, DIGITS, *LANGUAGES)
KINDS = {"gutenberg": "english", "sotu": "english", "program-text": "code", "numbers": "numbers", "base64": "base64"}
ENGLISH = "eng"


@cache
def script(character: str) -> str:
    """First word of the character's Unicode name: HEBREW, LATIN, CJK, DIGIT; empty where it has none."""
    return unicodedata.name(character, "").partition(" ")[0]


def members(document: Document, text: str) -> NDArray[np.bool_]:
    """Which characters of a part of a document are in which class: [class, character], in the order of CLASSES.

    Digits are the ten of ASCII, outside base64, where they are digits by accident.
    """
    names = np.array([script(character) for character in text], dtype=np.str_)
    digits = np.array([character in "0123456789" for character in text], dtype=bool)
    found = {name: names == first for name, first in SCRIPTS.items()}
    found |= {name: np.full(len(text), document.source == source) for name, source in SOURCES.items()}
    found[DIGITS] = digits & (document.source != SOURCES["base64"])
    found |= {name: np.full(len(text), (document.source, document.name) == ("udhr", file))
              for name, file in LANGUAGES.items()}  # fmt: skip
    return np.stack([found[name] for name in CLASSES])


def context(document: Document) -> str:
    """Kind of text: English, code, numbers, base64; else the script of most letters, or the file if that is Latin.

    Russian and Ukrainian share a context, as do Arabic and Urdu: what is alike should not count as unrelated.
    """
    if document.source in KINDS:
        return KINDS[document.source]
    if document.name == ENGLISH:
        return "english"
    letters = Counter(script(character) for character in document.text if character.isalpha())
    most = min(letters, key=lambda name: (-letters[name], name), default="LATIN")
    return document.name.partition("_")[0] if most == "LATIN" else most.lower()
