"""data/stimuli/<language>.yaml, typed: landmarks for the location pairs, names and templates for IOI. No torch.

A language is one file; nothing else has to be registered. The sentences are split into tokens in the rooms, where it
is decided, by rule and per tokenizer, which entries can be used.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from string import Formatter
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from replications.errors import Refusal
from replications.files import read_yaml
from replications.records import Record
from replications.settings import DATA
from replications.stimuli.plain_text import Line, distinct, folded, repeated

Names = Annotated[list[Line], Field(min_length=2), AfterValidator(distinct)]
Fillers = Annotated[list[Line], Field(min_length=1), AfterValidator(distinct)]


def _frame(text: str) -> str:
    return _with_fields(text, once={"subject"})


def _template(text: str) -> str:
    return _with_fields(text, once={"A", "B", "S"}, optional={"place", "object"})


def _article_template(text: str) -> str:
    return _with_fields(text, once={"A", "B", "S"})


def _mention(text: str) -> str:
    return _with_fields(text, once={"N"})


class Landmark(Record):
    """`subject` as it opens a sentence, article included; `city` as it follows the frame."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    subject: Line
    city: Line


class ArticlePair(Record):
    """Ids of the two landmarks of the article's pair."""

    clean: str
    corrupted: str


class LocationStimuli(Record):
    """`frame` with a landmark's subject in it is a prompt; the landmark's city is the answer."""

    frame: Annotated[Line, AfterValidator(_frame)]
    article_pair: ArticlePair
    landmarks: Annotated[list[Landmark], Field(min_length=2)]

    @model_validator(mode="after")
    def _ids_are_in_order(self) -> Self:
        ids = [landmark.id for landmark in self.landmarks]
        if twice := repeated(ids):
            raise ValueError(f"landmark ids should be unique; given twice: {', '.join(twice)}")
        unknown = [side for side in (self.article_pair.clean, self.article_pair.corrupted) if side not in ids]
        if unknown:
            raise ValueError(f"article_pair should name two landmarks of this file; unknown: {', '.join(unknown)}")
        if self.article_pair.clean == self.article_pair.corrupted:
            raise ValueError(f"article_pair should name two landmarks; both sides are {self.article_pair.clean}")
        if twice := repeated(landmark.subject for landmark in self.landmarks):
            raise ValueError(f"landmarks should have a subject each; given twice: {', '.join(twice)}")
        if twice := repeated({landmark.city for landmark in self.landmarks}):
            raise ValueError(f"a city should be written in one way; in several: {', '.join(twice)}")
        return self


class IOIArticle(Record):
    """The article's IOI pair in its printed order, the subject first: {A} = `s`, {B} = `io` (BABA)."""

    template: Annotated[Line, AfterValidator(_article_template)]
    io: Line
    s: Line

    @model_validator(mode="after")
    def _two_people(self) -> Self:
        if folded(self.io) == folded(self.s):
            raise ValueError(f"io and s should be two names; both are {self.s}")
        return self


class IOIStimuli(Record):
    """A grammar: in a template {A}, {B} are the names in order, {S} the one that comes again; the other one is IO.

    A prompt ends where IO's name is due. Wang et al. 2022, section 2: A = IO, B = S is ABBA; A = S, B = IO is BABA.
    `mentions` are sentences about one person, {N}, that may stand before the sentence of {S} (section 4.4).
    """

    names: Names
    places: Fillers
    objects: Fillers
    templates: Annotated[
        list[Annotated[Line, AfterValidator(_template)]], Field(min_length=1), AfterValidator(distinct)
    ]
    mentions: Annotated[list[Annotated[Line, AfterValidator(_mention)]], AfterValidator(distinct)] = Field(
        default_factory=list
    )
    article: IOIArticle


class LanguageStimuli(Record):
    """One language; `answer_prefix` is what stands between a prompt and its answer (nothing in Chinese)."""

    language: Annotated[str, Field(pattern=r"^[a-z]{2}$")]
    name: Line
    script: Line
    answer_prefix: Literal["", " "]
    location: LocationStimuli
    ioi: IOIStimuli


def languages(root: Path = DATA) -> list[str]:
    """Codes of the languages that have a stimulus file in `root`/stimuli, sorted."""
    return sorted(file.stem for file in (root / "stimuli").glob("*.yaml"))


def load_stimuli(language: str, root: Path = DATA) -> LanguageStimuli:
    """One language's file, checked. Refuses an unknown language and a malformed file, naming file and entry."""
    known = languages(root)
    if language not in known:
        listed = ", ".join(known) or "none"
        raise Refusal(f"no stimuli for language {language!r} in {root / 'stimuli'}; known: {listed}")
    file = root / "stimuli" / f"{language}.yaml"
    stimuli = read_yaml(file, LanguageStimuli)
    if stimuli.language != language:
        raise Refusal(f"{file}: language is {stimuli.language!r}; it should be {language!r} like the file's name")
    return stimuli


def _with_fields(text: str, once: set[str], optional: Iterable[str] = ()) -> str:
    """`text`, if it holds each field of `once` exactly once, of `optional` at most once, and no other."""
    count = Counter(_fields(text))
    known = once.union(optional)
    if wrong := once - count.keys() or set(repeated(count.elements())):
        raise ValueError(f"should hold {_braced(wrong)} exactly once: {text!r}")
    if unknown := count.keys() - known:
        raise ValueError(f"should hold no field but {_braced(known)}; {_braced(unknown)} is none: {text!r}")
    return text


def _fields(text: str) -> list[str]:
    try:
        return [name for _, name, _, _ in Formatter().parse(text) if name is not None]
    except ValueError as error:
        raise ValueError(f"is no template ({error}): {text!r}") from None


def _braced(names: Iterable[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names))
