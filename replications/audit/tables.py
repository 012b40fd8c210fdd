"""Reading `tables.yaml`: the printed numbers, each row turned into a check."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from replications.audit.audit import Check, Sense, check
from replications.audit.relations import RELATIONS
from replications.errors import Refusal
from replications.files import read_yaml
from replications.records import Record

FILE = Path(__file__).with_name("tables.yaml")


class Table(Record):
    """One printed table, or the sentences that state one relation; `rows` hold the printed numbers."""

    paper: str
    where: str
    source: str
    relation: str
    sense: Sense = "equals"
    columns: list[str | int] = Field(min_length=2)
    decimals: list[int | None] = Field(min_length=1)
    rows: dict[str, list[float]] = Field(min_length=1)

    @field_validator("relation")
    @classmethod
    def _relation_is_known(cls, name: str) -> str:
        if name not in RELATIONS:
            raise ValueError(f"should be one of {', '.join(RELATIONS)}")
        return name

    @field_validator("rows", mode="before")
    @classmethod
    def _rows_are_flat(cls, rows: Any) -> Any:
        """A row may hold a whole curve as a list in a list; the relation takes its numbers one by one."""
        if not isinstance(rows, dict):
            return rows
        return {name: list(_flat(numbers)) for name, numbers in rows.items()}


def _flat(numbers: Any) -> Iterator[Any]:
    for number in numbers if isinstance(numbers, list) else [numbers]:
        if isinstance(number, list):
            yield from number
        else:
            yield number


def read_tables(file: Path = FILE) -> dict[str, Table]:
    """Tables by name. Refuses a missing or malformed file, naming table, row and what would be right."""
    return read_yaml(file, Annotated[dict[str, Table], Field(min_length=1)])


def checks(tables: dict[str, Table]) -> list[Check]:
    """Every row of every table, recomputed. Refuses a row whose numbers do not fit its relation."""
    return [_check(name, table, row) for name, table in tables.items() for row in table.rows]


def _check(name: str, table: Table, row: str) -> Check:
    numbers = table.rows[row]
    try:
        return check(name, row, table.relation, table.sense, numbers, table.decimals)
    except (TypeError, ValueError, ArithmeticError) as error:
        misfit = f"{len(numbers)} numbers do not fit relation {table.relation}"
        raise Refusal(f"{FILE.name}: {name}, row {row}: {misfit} ({error})") from None
