"""Section `sae_steering` of params.yaml."""

from typing import Annotated

from pydantic import Field

from replications.params import Count, Positive, Section, Share
from replications.records import Record


class Limits(Record):
    """As `quantities.Limits`."""

    perplexity: Positive
    distinct: Share


class Params(Section):
    """How strongly is steered, on how many prompts, and how fluent the text should stay."""

    multiples: Annotated[list[Positive], Field(min_length=1)]
    limits: Limits
    max_windows: Count
    prompts: Count
    twin_prompts: Count
    new_tokens: Count
    temperature: Positive
    damage_sentences: Count
    rows: Count
    samples: Count
