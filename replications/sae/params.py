"""Section `sae` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from replications.params import Count, CountOrAll, Name, Positive, PositiveOrOwn, Section, Seed, Share
from replications.records import Record

At = Literal["resid_pre", "mlp_out", "mlp_post"]


class BankParams(Record):
    """Dictionaries of one hook point: features per dimension, kinds, and a seed for each of a kind."""

    width: Positive
    kinds: Annotated[list[Literal["standard", "topk", "batch_topk"]], Field(min_length=1)]
    seeds: Annotated[list[Seed], Field(min_length=1)]


class Params(Section):
    """The text, the dictionaries, their training and what they are measured on."""

    depth: Share
    shares: Annotated[dict[Name, Positive], Field(min_length=1)]
    characters: CountOrAll
    window: Count
    tokens: Count
    windows_per_block: Count
    batch: Count
    checkpoint_every: Count
    banks: Annotated[dict[At, BankParams], Field(min_length=1)]
    l1: dict[Name, dict[At, Positive]]
    k: Count
    lr: PositiveOrOwn
    dead_after: Count
    memory_gb: Positive
    test_windows: Count
    loss_windows: Count
    loss_tokens: Count

    @model_validator(mode="after")
    def _one_batch_is_trained_on(self) -> "Params":
        if self.tokens < self.batch:
            raise ValueError(f"tokens ({self.tokens}) should be one batch ({self.batch}) or more")
        return self
