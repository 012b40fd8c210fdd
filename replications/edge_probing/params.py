"""Section `edge_probing` of params.yaml."""

from pydantic import field_validator

from replications.params import Count, CountOrAll, Name, Positive, Section
from replications.records import Record

Sources = dict[Name, dict[Name, Name]]


class Rhythm(Record):
    """As `training.Rhythm`."""

    batch: Count
    learning_rate: Positive
    mix_factor: Positive
    validate_every: Count
    max_steps: Count


class Rhythms(Record):
    """`small` is for the tasks with few targets."""

    large: Rhythm
    small: Rhythm


class Params(Section):
    """Corpora by language and task, numbers of sentences, probes and their training."""

    sources: Sources
    drawn_with: dict[Name, Name] | None
    longest: CountOrAll
    n_train: CountOrAll
    n_dev: CountOrAll
    n_test: CountOrAll
    seeds: Count
    depths: CountOrAll
    twin_depths: CountOrAll
    rhythm: Rhythms

    @field_validator("sources")
    @classmethod
    def _other_is_there(cls, sources: Sources) -> Sources:
        if "other" not in sources:
            raise ValueError("should name the corpora of every other language as `other`")
        return sources
