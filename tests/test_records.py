"""What a file may look like: one reader, and one sentence for whatever is not so."""

import math
from typing import Annotated, Literal

import pytest
from pydantic import Field, field_validator

from replications.errors import Refusal
from replications.files import read_yaml, write_text
from replications.records import ById, Record, checked


class Inner(Record):
    id: str = Field(pattern=r"^[a-z]+$")
    size: float = 1.0


class Outer(Record):
    name: str
    kind: Literal["large", "small"] = "large"
    on: bool = True
    number: Annotated[int, Field(ge=1)] = 1
    parts: list[Inner] = Field(default_factory=list)

    @field_validator("name")
    @classmethod
    def _is_short(cls, name: str) -> str:
        if len(name) > 3:
            raise ValueError("should be short")
        return name


FINE = {"name": "one", "parts": [{"id": "first"}]}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"number": True}, "number: should be a whole number, not true"),
        ({"number": 2.0}, "number: should be a whole number, not 2.0"),
        ({"number": 0}, "number: should be greater than or equal to 1, not 0"),
        ({"on": "yes"}, "on: should be true or false, not 'yes'"),
        ({"name": 3}, "name: should be text, not 3"),
        ({"name": "lengthy"}, "name: should be short"),
        ({"kind": "huge"}, "kind: should be 'large' or 'small', not 'huge'"),
        ({"parts": {}}, "parts: should be a list, not {}"),
        ({"parts": [3]}, "parts.0: should be a mapping, not 3"),
        ({"parts": [{"id": "a"}, {"id": "b", "size": "2"}]}, "parts.1 (b).size: should be a number, not '2'"),
        ({"parts": [{"id": "a", "size": math.inf}]}, "parts.0 (a).size: should be a finite number, not inf"),
        ({"parts": [{"size": 1}]}, "parts.0.id: is missing"),
        ({"colour": "red"}, "colour: is unknown; known: name, kind, on, number, parts"),
    ],
)
def test_a_wrong_value_is_refused_by_its_place_and_what_would_be_right(fields, said):
    with pytest.raises(Refusal) as refusal:
        checked(FINE | fields, Outer, "a.yaml")
    assert str(refusal.value) == f"a.yaml: {said}"


@pytest.mark.parametrize(
    ("schema", "text", "said"),
    [
        (Outer, "- 1", "should be a mapping, not [1]"),
        (dict[str, Outer], "x.y: {}", "x.y: name: is missing"),
        (dict[str, dict[str, Outer]], "x: {y: {name: a, on: 3}}", "x: y: on: should be true or false, not 3"),
        (dict[str, dict[str, Outer]], "x: {y: {name: a, no: 3}}", "x: y: no: is unknown; known: name, kind"),
        (list[Inner], "[{id: a}, {id: b, age: 3}]", "1 (b): age: is unknown; known: id, size"),
        (ById[Inner], "a: {size: 1}\nB: {}", "B: id: should match pattern '^[a-z]+$', not 'B'"),
        (ById[Inner], "a: 3", "a: should be a mapping, not 3"),
        (ById[Inner], "3", "should be a mapping, not 3"),
    ],
)
def test_a_file_is_refused_by_name_the_keys_apart_from_the_fields(tmp_path, schema, text, said):
    file = write_text(tmp_path / "a.yaml", text)
    with pytest.raises(Refusal) as refusal:
        read_yaml(file, schema)
    assert str(refusal.value).startswith(f"{file}: {said}")


def test_what_is_right_is_given_typed_and_as_it_is_written(tmp_path):
    file = write_text(tmp_path / "a.yaml", "a: {size: 2}\nb: {}")
    assert read_yaml(file, ById[Inner]) == {"a": Inner(id="a", size=2.0), "b": Inner(id="b")}
    assert read_yaml(file) == {"a": {"size": 2}, "b": {}}
