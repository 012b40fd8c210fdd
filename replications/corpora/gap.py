"""GAP (Webster et al. 2018): an ambiguous pronoun and two names per text, each pair coreferent or not."""

from __future__ import annotations

import csv
import io
import re

from replications.corpora.edges import Sentence, Target
from replications.corpora.words import cut
from replications.errors import Refusal

COLUMNS = ["ID", "Text", "Pronoun", "Pronoun-offset", "A", "A-offset", "A-coref", "B", "B-offset", "B-coref", "URL"]
TRUTH = {"TRUE": "1", "FALSE": "0"}


def read(text: str, name: str) -> tuple[Sentence, ...]:
    """One text per row, with two targets: span1 the pronoun, span2 a name, label 1 if they corefer, else 0.

    A row is read whole, whatever line ends the copy has. Refuses a row whose offsets do not point at its names.
    """
    table = csv.DictReader(io.StringIO(text.replace("\r\n", "\n")), delimiter="\t", quoting=csv.QUOTE_NONE)
    try:
        if table.fieldnames != COLUMNS:
            raise Refusal(f"{name}, line 1: the columns {' '.join(COLUMNS)} are expected")
        return tuple(_sentence(row, f"{name}, line {number}") for number, row in enumerate(table, start=2))
    except csv.Error as error:
        raise Refusal(f"{name}, line {table.line_num + 1}: not a row of tab-separated columns ({error})") from None


def _sentence(row: dict, where: str) -> Sentence:
    if None in row.values() or None in row:
        raise Refusal(f"{where}: {len(COLUMNS)} columns separated by tabs are expected")
    places = [_place(row, key, where) for key in ("Pronoun", "A", "B")]
    try:
        words, (pronoun, *names) = cut(row["Text"], places)
    except ValueError as error:
        raise Refusal(f"{where}: {error}") from None
    labels = [TRUTH[said] for key in "AB" if (said := row[f"{key}-coref"].upper()) in TRUTH]
    if len(labels) != len(names):
        raise Refusal(f"{where}: A-coref and B-coref should be TRUE or FALSE")
    targets = (Target(pronoun, name, (label,)) for name, label in zip(names, labels, strict=True))
    return Sentence(row["ID"], words, tuple(targets))


def _place(row: dict, key: str, where: str) -> tuple[int, int]:
    offset = row[f"{key}-offset"]
    start = int(offset) if re.fullmatch(r"[0-9]{1,9}", offset) else -1
    end = start + len(row[key])
    if start < 0 or not row[key] or row["Text"][start:end] != row[key]:
        raise Refusal(f"{where}: {key} {row[key]!r} does not stand at character {offset[:20]} of the text")
    return start, end
