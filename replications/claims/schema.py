"""The typed form of a published claim: one block of data/claims/<room>.yaml."""

import re
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from replications.files import once_per_file, read_yaml
from replications.records import Record

Comparison = Literal["within", "at_least", "at_most", "sign", "order", "argmax", "overlap"]
Verdict = Literal["reproduced", "not reproduced", "not re-run here", "holds", "fails", "inconclusive", "not measurable"]
Number = int | float
SIGNS = {"+": 1, "positive": 1, "-": -1, "negative": -1}
OWN_LANGUAGE = "en"  # the language in which every paper here measured its own model
PAPERS_OWN = "paper"  # top of the tree for what is measured on the paper's own stimuli, facts or circuit
PRINTED = "printed"  # the model of claims about printed tables, which need no weights
TOY = "toy"  # the model of claims about toy models, which a room trains itself
WEIGHTLESS = (PRINTED, TOY)


class Estimate(Record):
    """A leaf of metrics.json: a value with its 95 % interval (null when there is none) and sample size.

    Every number is finite; what could not be measured has the value null, and then there may be no sample at all.
    """

    value: float | str | list[float | str] | None
    ci_low: float | None
    ci_high: float | None
    n: int = Field(ge=0)

    @model_validator(mode="after")
    def _interval_is_whole(self) -> "Estimate":
        low, high = self.ci_low, self.ci_high
        if (low is None) != (high is None) or (low is not None and high is not None and low > high):
            raise ValueError("ci_low and ci_high should both be null or be in order")
        if low is not None and not isinstance(self.value, float):
            raise ValueError("ci_low and ci_high should be null where value is not a number")
        return self

    @model_validator(mode="after")
    def _a_value_has_a_sample(self) -> "Estimate":
        if self.value is not None and self.n < 1:
            raise ValueError("n should be 1 or more where there is a value")
        return self


class Provenance(Record):
    """Where a published number was read, and in what kind of source."""

    source_kind: Literal["primary", "official", "derived", "secondary", "memory"]
    seen_at: str


class Criterion(Record):
    """What a measurement is held against; the meaning of `tolerance` depends on the comparison.

    within: half-width around `published`. at_least, at_most: slack. overlap: minimum Jaccard share.
    order: `quantity` lists the paths from smallest to largest. argmax: `quantity` names a group of estimates
    (or one estimate that is a label), `published` the key with the largest value.
    """

    quantity: str | list[str]
    comparison: Comparison
    published: Any = None
    tolerance: float | None = Field(default=None, ge=0)
    tolerance_reason: str | None = None

    @field_validator("quantity", mode="before")
    @classmethod
    def _quantity_is_path(cls, quantity: Any) -> Any:
        paths = quantity if isinstance(quantity, list) else [quantity]
        if not paths or not all(isinstance(path, str) and path.strip(".") == path != "" for path in paths):
            raise ValueError("should be a dotted path such as article.p_io, or a list of paths for order")
        return quantity

    @model_validator(mode="after")
    def _fields_fit_comparison(self) -> "Criterion":
        _check_paths(self)
        _check_published(self)
        _check_tolerance(self)
        return self

    @property
    def quantities(self) -> list[str]:
        """The paths, also when there is only one."""
        return self.quantity if isinstance(self.quantity, list) else [self.quantity]


class Scope(Record):
    """Of which runs a general form is asked, where the experiment exists for some only; unset means all."""

    languages: list[str] | None = None
    kind: Literal["encoder", "decoder"] | None = None


class Claim(Criterion):
    """One published claim; `general` is the scale-free form asked of any other model or language within `scope`."""

    id: str
    paper: str = Field(min_length=1)
    where: str
    model: str
    statement: str = Field(min_length=1)
    unit: str = ""
    general: Criterion | None = None
    scope: Scope = Scope()
    provenance: Provenance
    confidence: Literal["seen", "memory"]
    ledger_id: str = ""

    @field_validator("id")
    @classmethod
    def _id_names_source(cls, text: str) -> str:
        if not re.fullmatch(r"[a-z0-9_-]+(\.[A-Za-z0-9_-]+)+", text):
            raise ValueError("should read <source>.<name>, for example wang2022.logit_diff")
        return text

    @model_validator(mode="after")
    def _memory_is_not_seen(self) -> "Claim":
        if self.provenance.source_kind == "memory" and self.confidence != "memory":
            raise ValueError("confidence should be memory when provenance.source_kind is memory")
        return self

    @property
    def asserted(self) -> bool:
        """Whether the test suite holds the verdict to the recorded one; what was not seen never is."""
        return self.confidence == "seen"

    def is_own(self, model: str, language: str) -> bool:
        """Whether this is the model, in the language, that the paper reports."""
        return (model, language) == (self.model, OWN_LANGUAGE)

    def form(self, model: str, language: str) -> Criterion | None:
        """What is asked of a model in a language: the claim as published on its own, else `general`."""
        return self if self.is_own(model, language) else self.general


def _is_number(value: Any) -> bool:
    """Whether this is a finite number; true and false are none, nor is what is too large for a float."""
    return isinstance(value, Number) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_label(value: Any) -> bool:
    return isinstance(value, str) or _is_number(value)


def _check_paths(criterion: Criterion) -> None:
    several = isinstance(criterion.quantity, list)
    if several != (criterion.comparison == "order"):
        raise ValueError("quantity should be a list for comparison order, one path for every other")
    if several and len(set(criterion.quantity)) < max(2, len(criterion.quantity)):
        raise ValueError("quantity should list two or more different paths for comparison order")


def _check_published(criterion: Criterion) -> None:
    """Refuse a published value of the wrong kind for its comparison."""
    value, kind = criterion.published, criterion.comparison
    if kind in ("within", "at_least", "at_most") and not _is_number(value):
        raise ValueError(f"published should be a number for comparison {kind}, not {value!r}")
    if kind == "sign" and not (isinstance(value, str) and value in SIGNS):
        raise ValueError(f"published should be one of {', '.join(SIGNS)} (in quotes) for comparison sign")
    if kind == "argmax" and not (_is_label(value) and isinstance(value, str | int)):
        raise ValueError(f"published should be one key for comparison argmax, not {value!r}")
    if kind == "overlap" and not (isinstance(value, list) and value and all(map(_is_label, value))):
        raise ValueError(f"published should be a list of labels for comparison overlap, not {value!r}")
    if kind == "order" and value is not None:
        _check_order(value, len(criterion.quantities))


def _check_order(value: Any, n: int) -> None:
    if not (isinstance(value, list) and all(map(_is_label, value))):
        raise ValueError(f"published should be null or a list for comparison order, not {value!r}")
    if len(value) != n:
        raise ValueError("published should have one entry per path of quantity for comparison order")
    if all(map(_is_number, value)) and value != sorted(value):
        raise ValueError(f"published should be in increasing order, like quantity, not {value!r}")


def _check_tolerance(criterion: Criterion) -> None:
    kind, tolerance, reason = criterion.comparison, criterion.tolerance, criterion.tolerance_reason
    if kind in ("within", "overlap") and tolerance is None:
        raise ValueError(f"tolerance is missing: comparison {kind} needs one, with its reason")
    if kind in ("sign", "order", "argmax") and tolerance is not None:
        raise ValueError(f"tolerance should be null for comparison {kind}")
    if kind == "overlap" and tolerance is not None and not 0 < tolerance <= 1:
        raise ValueError(f"tolerance should be a Jaccard share above 0 and up to 1, not {tolerance}")
    if tolerance is not None and not (reason or "").strip():
        raise ValueError("tolerance_reason is missing: say why this tolerance, before measuring")


@once_per_file
def read_claims(file: Path) -> list[Claim]:
    """The claims of one YAML file. Refuses the first bad one: file, claim id, field, what would be right."""
    return read_yaml(file, list[Claim])
