"""Verdicts on record that are not the hoped-for ones: data/findings/<model>.yaml, by room, claim and language."""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator

from replications import yaml12
from replications.claims import reasons
from replications.files import once_per_file, read_yaml
from replications.records import Record

Departure = Literal["not reproduced", "fails", "inconclusive", "not measurable"]
DEPARTURES: tuple[str, ...] = get_args(Departure)
Shown = float | str | None  # as the verdict table holds it: a number, or the text of several or of a label
WIDTH = 120
HEAD = """\
# Verdicts on {model} that are not the hoped-for ones, by replication, claim and language, with their numbers.
# `replicate record --model {model}` writes this file from the evidence; only a `reason` is written by hand.
# It stays while the verdict stays; where there is none, one is made of the numbers. What stands in {{braces}} is filled
# in from the evidence when the reason is shown: data/README.md, Findings.
"""


class Finding(Record):
    """A recorded verdict and, where there is evidence, what the verdict table has of it; `interval` is the 95 % one."""

    verdict: Departure
    measured: Shown = None
    interval: Annotated[tuple[float, float], Field(strict=False)] | None = None
    control: Shown = None
    n: int | None = None
    reason: str | None = Field(default=None, min_length=1)

    @field_validator("reason")
    @classmethod
    def _reason_can_be_filled(cls, text: str | None) -> str | None:
        if text is not None:
            reasons.check(text)
        return text


Recorded = dict[str, dict[str, dict[str, Finding]]]  # of one model, by room, claim and language
FindingsByRun = dict[tuple[str, str, str], Finding]  # by claim, model and language


def findings_file(model: str, root: Path) -> Path:
    """Where the verdicts on a model are recorded."""
    return root / "data" / "findings" / f"{model}.yaml"


def findings_files(root: Path) -> list[Path]:
    """The files of all models that have any, alphabetically."""
    return sorted((root / "data" / "findings").glob("*.yaml"))


@once_per_file
def read_findings(file: Path) -> Recorded:
    """One model's findings, whatever the claims are by now. Refuses the first bad field: file, place, what is right."""
    return read_yaml(file, Recorded)


def as_yaml(model: str, recorded: Recorded) -> str:
    """The file that `read_findings` reads so, in the order given, for a person to read and to write reasons into."""
    lines = []
    for room, claims in recorded.items():
        lines.append(f"{_scalar(room)}:")
        for claim, languages in claims.items():
            lines.append(f"  {_scalar(claim)}:")
            for language, finding in languages.items():
                lines += [f"    {_scalar(language)}:", *(f"      {line}" for line in _fields(finding))]
    return HEAD.format(model=model) + "\n".join(lines) + "\n"


def each(recorded: Recorded) -> Iterator[tuple[tuple[str, str, str], Finding]]:
    """Every finding with its room, claim and language."""
    for room, claims in recorded.items():
        for claim, languages in claims.items():
            for language, finding in languages.items():
                yield (room, claim, language), finding


def _fields(finding: Finding) -> Iterator[str]:
    for name, value in finding:
        if name == "reason" and value is not None:
            yield from _folded(value)
        elif value is not None:
            yield f"{name}: [{value[0]!r}, {value[1]!r}]" if name == "interval" else f"{name}: {_scalar(value)}"


def _folded(reason: str) -> list[str]:
    """The reason as lines that YAML joins again, if it is of words with one space between them; else in quotes."""
    lines = textwrap.wrap(reason, WIDTH - 8, break_long_words=False, break_on_hyphens=False)
    if " ".join(lines) != reason or reason[0] == " " or not reason.isprintable():
        return [f"reason: {_scalar(reason)}"]
    return ["reason: >-", *(f"  {line}" for line in lines)]


def _scalar(value: float | str) -> str:
    """A number, or text: bare where it is words that YAML takes for no other value, else quoted and escaped."""
    if not isinstance(value, str):
        return repr(value)
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_. -]*[A-Za-z0-9]", value) and yaml12.parse(value) == value:
        return value
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\' or not character.isprintable():
        return f"\\U{ord(character):08x}"
    return character
