"""Published sets of facts, read into the classes of `facts.py`: nothing of them lies in this repository. No torch.

A record whose subject does not stand in its prompt exactly once is refused: its token columns would be a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field, model_validator

from replications.catalogue.datasets import read_text
from replications.errors import Refusal
from replications.files import parse_json
from replications.records import Record, checked
from replications.stimuli.fact_table import SUBJECT
from replications.stimuli.facts import Fact, FactSet, Relation

NonEmpty = Annotated[str, Field(min_length=1)]
R = TypeVar("R", bound="_Published")


class _Published(Record):
    """One record; fields that are not named here are not read."""

    model_config = ConfigDict(extra="ignore")
    subject: NonEmpty
    prompt: NonEmpty

    @model_validator(mode="after")
    def _subject_stands_once(self) -> Any:
        _once(self.subject, self.prompt, "prompt")
        return self


class _Known(_Published):
    known_id: int
    attribute: NonEmpty
    relation_id: NonEmpty


class _Counterfact(_Published):
    case_id: int
    ground_truth: NonEmpty
    target_new: NonEmpty
    rephrase_prompt: NonEmpty
    locality_prompt: NonEmpty
    locality_ground_truth: NonEmpty

    @model_validator(mode="after")
    def _subject_is_rephrased(self) -> Any:
        _once(self.subject, self.rephrase_prompt, "rephrase_prompt")
        return self


@dataclass(frozen=True)
class Counterfact:
    """A fact and what to make of it: `target` is the new object; the neighbour's prompt should keep its answer."""

    fact: Fact
    target: str
    neighbour_prompt: str
    neighbour_answer: str


def load_known_1000(path: Path) -> FactSet:
    """ROME's known_1000.json: facts that GPT-2 XL completes (Meng et al. 2022, section 2.1); no paraphrases.

    Facts of one Wikidata property share the relation's id, though nearly each has a sentence of its own.
    """
    facts = []
    for record in _read(path, _Known):
        relation = Relation(record.relation_id, record.relation_id, _frame(record.prompt, record.subject), ())
        source = f"known_1000 {record.known_id}"
        facts.append(Fact(f"known_1000.{record.known_id}", relation, record.subject, record.attribute, source))
    return _set(facts)


def load_counterfact(path: Path) -> list[Counterfact]:
    """CounterFact in EasyEdit's form, JSON or gzipped JSON; it names no property, so a frame is a relation."""
    return [_counterfact(record) for record in _read(path, _Counterfact)]


def fact_set(counterfacts: list[Counterfact]) -> FactSet:
    """The facts of these records, for `neighbours` and `targets`."""
    return _set([one.fact for one in counterfacts])


def _counterfact(record: _Counterfact) -> Counterfact:
    frame = _frame(record.prompt, record.subject)
    relation = Relation(frame, "", frame, (_frame(record.rephrase_prompt, record.subject),))
    name = f"counterfact.{record.case_id}"
    fact = Fact(name, relation, record.subject, record.ground_truth, f"counterfact {record.case_id}")
    return Counterfact(fact, record.target_new, record.locality_prompt, record.locality_ground_truth)


def _read(path: Path, schema: type[R]) -> list[R]:
    try:
        records = parse_json(read_text(path))
    except FileNotFoundError:
        raise Refusal(f"{path} does not exist") from None
    except ValueError as error:
        raise Refusal(f"{path} is not readable JSON ({error}): fetch it again") from None
    if not isinstance(records, list) or not records:
        raise Refusal(f"{path} should hold a list of records")
    return [checked(record, schema, f"{path} record {number}") for number, record in enumerate(records)]


def _once(subject: str, text: str, name: str) -> None:
    if (count := text.count(subject)) != 1:
        raise ValueError(f"{name} should hold the subject {subject!r} once, not {count} times: {text!r}")


def _frame(text: str, subject: str) -> str:
    return text.replace(subject, SUBJECT)


def _set(facts: list[Fact]) -> FactSet:
    return FactSet(tuple(dict.fromkeys(fact.relation for fact in facts)), tuple(facts))
