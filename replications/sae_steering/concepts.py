"""The concepts that text is steered to, as concepts.yaml has them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from replications.errors import Refusal
from replications.files import read_yaml
from replications.stimuli.plain_text import distinct, plain

FILE = Path(__file__).parent / "concepts.yaml"


def _plain_lines(text: str) -> str:
    """Program text has several lines, and a prefix may end its line."""
    for line in text.split("\n"):
        plain(line)
    return text


Text = Annotated[str, Field(min_length=1), AfterValidator(_plain_lines)]
Texts = Annotated[tuple[Text, ...], Field(min_length=1), AfterValidator(distinct)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sentences(_Strict):
    """Example sentences: `examples` choose features and directions, `held_out` test the scores."""

    examples: Texts
    held_out: Texts


class Concept(Sentences):
    """What text is steered to. `lexicon` and `pattern` serve the lexical score, `topics` the likelihood score."""

    name: str = Field(pattern=r"^[a-z_]+$")
    topics: Texts
    lexicon: Texts
    pattern: str | None = None
    prefixes: Texts

    @field_validator("lexicon")
    @classmethod
    def _is_lower_case(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [word for word in words if not re.fullmatch(r"\w+", word) or word != word.lower()]
        if wrong:
            raise ValueError(f"should be single words in lower case, not {wrong[0]!r}")
        return words

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"should be a regular expression ({error})") from None
        return pattern


class Concepts(_Strict):
    """The whole file: neutral prompts and sentences, and at least two concepts."""

    prompts: Texts
    neutral: Sentences
    concepts: tuple[Concept, ...] = Field(min_length=2)

    @property
    def names(self) -> list[str]:
        """Names in the order of the file."""
        return [concept.name for concept in self.concepts]


def read_concepts(file: Path = FILE, *, tries: int | None = None) -> Concepts:
    """The file's concepts. Refuses a malformed one, naming the row; `tries` is how many prefixes each should have."""
    raw = read_yaml(file)
    try:
        found = Concepts.model_validate(raw)
    except ValidationError as error:
        raise Refusal(f"{file}: {_first(error, raw)}") from None
    twice = [name for name, count in Counter(found.names).items() if count > 1]
    if twice:
        raise Refusal(f"{file}: concept {twice[0]} is there twice; each name should be used once")
    for concept in found.concepts:
        if tries is not None and len(concept.prefixes) != tries:
            raise Refusal(f"{file}: concept {concept.name} has {len(concept.prefixes)} prefixes; it should have "
                          f"{tries}, one for each multiple: as many tries to ask as to steer")  # fmt: skip
    return found


def _first(error: ValidationError, raw: Any) -> str:
    """The row (a concept by number and name) and field of the first thing that is wrong, and what would be right."""
    first = error.errors()[0]
    place = list(first["loc"])
    if len(place) > 1 and place[0] == "concepts" and isinstance(number := place[1], int):
        row = raw["concepts"][number]
        name = row.get("name", "no name") if isinstance(row, dict) else "no mapping"
        place = [f"concept {number + 1} ({name})", *place[2:]]
    return f"{', '.join(map(str, place))}: {first['msg'].removeprefix('Value error, ')}"
