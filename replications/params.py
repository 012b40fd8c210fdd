"""What a room's section of params.yaml may hold: the kinds of fields, and the sentence that refuses another value.

Each room that has a section says in its `params.py` which fields those are, in a class `Params`.
"""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

from replications.errors import Refusal
from replications.records import Record, said, shown, where

PROFILES = ("default", "full")


def should_be(what: str) -> WrapValidator:
    """Has a field that refuses a value say what it should be; stands after the constraints in an Annotated type."""

    def checked(value: Any, inner: Any) -> Any:
        try:
            return inner(value)
        except ValidationError:
            raise PydanticCustomError("should_be", "should be {what}, not {given}",
                                      {"what": what, "given": shown(value)}) from None  # fmt: skip

    return WrapValidator(checked)


# Seeds are counted on from, and scikit-learn takes them below 2**32. Of fewer than 100 resamples two or three at each
# end make a 95 % interval; more than a million do not fit into memory beside what they resample.
Seed = Annotated[int, Field(ge=0, lt=2**31), should_be("a whole number from 0 to 2147483647")]
Resamples = Annotated[int, Field(ge=100, le=10**6), should_be("a whole number from 100 to 1000000")]
Count = Annotated[int, Field(ge=1), should_be("a whole number ≥ 1")]
Several = Annotated[int, Field(ge=2), should_be("a whole number ≥ 2")]
CountOrAll = Annotated[int | None, Field(ge=1), should_be("a whole number ≥ 1 or null")]
Positive = Annotated[float, Field(gt=0), should_be("a number above 0")]
PositiveOrOwn = Annotated[float | None, Field(gt=0), should_be("a number above 0 or null")]
Share = Annotated[float, Field(gt=0, le=1), should_be("a number above 0 and up to 1")]
Switch = Annotated[bool, should_be("true or false")]
Exponent = Annotated[int, Field(ge=-100, le=100), should_be("a whole number from -100 to 100")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"), should_be("a name of letters, digits, - _ .")]


class Section(Record):
    """What the sections of all rooms have."""

    seed: Seed
    resamples: Resamples


def of_profile(section: dict[str, Any], profile: str) -> dict[str, Any]:
    """The section with every {default: ..., full: ...} resolved."""
    return {name: value[profile] if _differs(value) else value for name, value in section.items()}


def check(section: Any, room: str, file: Path) -> None:
    """Refuse a section that the room's `Params` does not take in one of the profiles, naming the field."""
    try:
        schema: type[Record] = import_module(f"replications.{room}.params").Params
    except ModuleNotFoundError:
        raise Refusal(f"{file}: {room}: replications/{room}/params.py should say what the section may hold") from None
    if not isinstance(section, dict):
        raise Refusal(f"{file}: {room}: should be a mapping of {', '.join(schema.model_fields)}, not {shown(section)}")
    for profile in PROFILES:
        try:
            schema.model_validate(of_profile(section, profile))
        except ValidationError as error:
            fault = error.errors()[0]
            name, *rest = fault["loc"] or ("",)
            loc = [room, name, *([profile] if _differs(section.get(name)) else []), *rest]
            field = ".".join(where([part for part in loc if part != ""], {room: section}))
            raise Refusal(f"{file}: {field}: {said(fault, schema)}") from None


def _differs(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == set(PROFILES)
