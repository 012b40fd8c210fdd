"""data/facts/<language>.yaml and .csv as checked rows: what a relation and a fact must look like. No torch."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from replications.errors import Refusal
from replications.files import read_text, read_yaml
from replications.records import Record, checked
from replications.stimuli.plain_text import Line, folded, repeated

SUBJECT = "{subject}"


def _frame(text: str) -> str:
    if re.findall(r"{[^}]*}?|}", text) != [SUBJECT]:
        raise ValueError(f"should hold {SUBJECT} exactly once and no other field: {text!r}")
    if text.endswith(SUBJECT):
        raise ValueError(f"should go on after {SUBJECT}: at the subject's own last token nothing is asked: {text!r}")
    return text


def _distinct(frames: list[str]) -> list[str]:
    if twice := repeated(frames):
        raise ValueError(f"should list every sentence once; given twice: {twice[0]!r}")
    return frames


Frame = Annotated[Line, AfterValidator(_frame)]


class RelationEntry(Record):
    """One relation of the YAML file; every sentence ends where the object is due."""

    id: Annotated[str, Field(pattern=r"^[a-z_]+$")]
    property: Annotated[str, Field(pattern=r"^P\d+$")]
    frame: Frame
    paraphrases: Annotated[list[Frame], Field(min_length=2), AfterValidator(_distinct)]

    @model_validator(mode="after")
    def _frame_is_no_paraphrase(self) -> Self:
        if self.frame in self.paraphrases:
            raise ValueError("paraphrases should differ from the frame")
        return self


class RelationFile(Record):
    """The YAML file."""

    language: Annotated[str, Field(pattern=r"^[a-z]{2}$")]
    relations: Annotated[list[RelationEntry], Field(min_length=1)]

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        if twice := repeated(entry.id for entry in self.relations):
            raise ValueError(f"relation ids should be unique; given twice: {', '.join(twice)}")
        return self


class FactRow(Record):
    """One line of the CSV file; `source` is the Wikidata statement, as "Q142 P36 Q90"."""

    relation: Line
    subject: Line
    object: Line
    source: Annotated[str, Field(pattern=r"^Q\d+ P\d+ Q\d+$")]

    @model_validator(mode="after")
    def _neither_gives_the_other_away(self) -> Self:
        subject, thing = folded(self.subject), folded(self.object)
        if thing in subject or subject in thing:
            raise ValueError(f"the subject should not give the object away: {self.subject} - {self.object}")
        return self


COLUMNS = list(FactRow.model_fields)


def read_relations(file: Path, language: str) -> list[RelationEntry]:
    """The relations of one language. Refuses, naming file and entry, what the schema does not take."""
    read = read_yaml(file, RelationFile)
    if read.language != language:
        raise Refusal(f"{file}: language is {read.language!r}; it should be {language!r} like the file's name")
    return read.relations


def read_rows(file: Path, relations: list[RelationEntry]) -> list[FactRow]:
    """The facts of one language. Refuses, naming file and line, what the schema or the relations do not take."""
    properties = {entry.id: entry.property for entry in relations}
    rows: list[FactRow] = []
    seen: dict[tuple[str, str], int] = {}
    written: dict[tuple[str, str], str] = {}
    for line, raw in _lines(file):
        row = _row(file, line, raw)
        where = f"{file} line {line} ({row.relation}, {row.subject})"
        if row.relation not in properties:
            raise Refusal(f"{where}: unknown relation; it should be one of {', '.join(properties)}")
        if row.source.split()[1] != properties[row.relation]:
            raise Refusal(f"{where}: source is {row.source!r}; its property should be {properties[row.relation]}")
        fact = (row.relation, folded(row.subject))
        if before := seen.get(fact):
            raise Refusal(f"{where}: line {before} has the same relation and subject; a fact should be there once")
        seen[fact] = line
        first = written.setdefault((row.relation, folded(row.object)), row.object)
        if row.object != first:
            raise Refusal(f"{where}: object is {row.object!r}; it should be written {first!r} as in the lines before")
        rows.append(row)
    return rows


def _lines(file: Path) -> list[tuple[int, list[str]]]:
    """Numbered rows without the header, which is line 1."""
    reader = csv.reader(io.StringIO(read_text(file)), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise Refusal(f"{file} is not readable CSV near line {reader.line_num}: {error}") from None
    header = rows[0][1] if rows else []
    if header != COLUMNS:
        raise Refusal(f"{file} line 1: the columns should be {', '.join(COLUMNS)}, not {', '.join(header) or 'none'}")
    return rows[1:]


def _row(file: Path, line: int, raw: list[str]) -> FactRow:
    if len(raw) != len(COLUMNS):
        raise Refusal(f"{file} line {line}: should have {len(COLUMNS)} fields: {', '.join(COLUMNS)}")
    return checked(dict(zip(COLUMNS, raw, strict=True)), FactRow, f"{file} line {line} ({raw[0]}, {raw[1]})")
