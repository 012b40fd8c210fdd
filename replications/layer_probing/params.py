"""Section `layer_probing` of params.yaml."""

from pydantic import model_validator

from replications.params import Count, Name, Positive, Section
from replications.records import Record


class Sources(Record):
    """Treebank by language: the language's own, and the one that is the same everywhere."""

    own: dict[Name, Name]
    parallel: dict[Name, Name]

    @model_validator(mode="after")
    def _english_and_else_are_there(self) -> "Sources":
        if "en" not in self.own:
            raise ValueError("own should name the English treebank as `en`: noun and verb words come from it")
        if "else" not in self.parallel:
            raise ValueError("parallel should name the treebank of every other language as `else`")
        return self


class Size(Record):
    """Sentences."""

    train: Count
    test: Count


class Types(Size):
    """Word types."""

    dev: Count


class Params(Section):
    """Treebanks, their sizes, the probes and the layers at which a subspace is removed."""

    sources: Sources
    c: Positive
    seeds: Count
    control_seeds: Count
    english: Size
    others: Size
    types: Types
    edited_layers: Count
    rank: Count
    draws: Count
