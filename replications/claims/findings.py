"""Verdicts on record that are not the hoped-for ones: data/findings/<model>.yaml, by room, claim and language."""

import textwrap
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError, field_validator
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq
from ruamel.yaml.scalarstring import FoldedScalarString

from replications.claims import reasons
from replications.claims.schema import Strict
from replications.errors import Refusal
from replications.files import once_per_file, read_yaml

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


class Finding(Strict):
    """A recorded verdict and, where there is evidence, what the verdict table has of it; `interval` is the 95 % one."""

    verdict: Departure
    measured: Shown = None
    interval: tuple[float, float] | None = None
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
Findings = dict[tuple[str, str, str], Finding]  # by claim, model and language
_FILE = TypeAdapter(Recorded)


def findings_file(model: str, root: Path) -> Path:
    """Where the verdicts on a model are recorded."""
    return root / "data" / "findings" / f"{model}.yaml"


def findings_files(root: Path) -> list[Path]:
    """The files of all models that have any, alphabetically."""
    return sorted((root / "data" / "findings").glob("*.yaml"))


@once_per_file
def read_findings(file: Path) -> Recorded:
    """One model's findings, whatever the claims are by now. Refuses the first bad field: file, place, what is right."""
    try:
        return _FILE.validate_python(read_yaml(file))
    except ValidationError as error:
        raise Refusal(f"{file}: {_first_error(error)}") from None


def as_text(model: str, recorded: Recorded) -> str:
    """The file that `read_findings` reads so, in the order given."""
    tree = {
        room: {claim: {language: _plain(one) for language, one in some.items()} for claim, some in claims.items()}
        for room, claims in recorded.items()
    }
    yaml, out = YAML(), StringIO()
    yaml.width = WIDTH
    yaml.dump(tree, out)
    return HEAD.format(model=model) + out.getvalue()


def each(recorded: Recorded) -> Iterator[tuple[tuple[str, str, str], Finding]]:
    """Every finding with its room, claim and language."""
    for room, claims in recorded.items():
        for claim, languages in claims.items():
            for language, finding in languages.items():
                yield (room, claim, language), finding


def _plain(finding: Finding) -> dict[str, Any]:
    fields = {name: value for name, value in finding if value is not None}
    if finding.interval is not None:
        fields["interval"] = CommentedSeq(finding.interval)
        fields["interval"].fa.set_flow_style()
    if finding.reason is not None:
        fields["reason"] = _folded(finding.reason)
    return fields


def _folded(text: str) -> str:
    """The text as a block of lines that YAML joins again, if it is of words with one space between them."""
    lines = textwrap.wrap(text, WIDTH - 8, break_long_words=False, break_on_hyphens=False)
    if " ".join(lines) != text or not text.isprintable():
        return text
    folded, at = FoldedScalarString(text), -1
    folded.fold_pos = [at := at + len(line) + 1 for line in lines[:-1]]
    return folded


def _first_error(error: ValidationError) -> str:
    """One clause for the first thing pydantic found: room, claim, language, field and what would be right."""
    first = error.errors()[0]
    place, field = map(str, first["loc"][:3]), ".".join(map(str, first["loc"][3:]))
    text = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        text = "should be a mapping of replications, claims and languages"
    elif first["type"] == "extra_forbidden":
        text = f"there is no such field; those of a finding are {', '.join(Finding.model_fields)}"
    return ": ".join([*place, *([f"field {field}"] if field else []), text])
