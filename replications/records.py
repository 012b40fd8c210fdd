"""What the fields of a file may be: one strict base for all of them, and the sentence that refuses another value.

A value is taken as it is written, or refused: nothing here makes another value of it.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from replications.errors import Refusal

T = TypeVar("T")
SHOWN = 60  # characters of a wrong value
KINDS = {
    "list_type": "a list",
    "bool_type": "true or false",
    "string_type": "text",
    "float_type": "a number",
    "int_type": "a whole number",
} | dict.fromkeys(("model_type", "dict_type", "dataclass_type"), "a mapping")


class Record(BaseModel):
    """These fields and no other, each of its own type; nobody changes them."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


def _with_ids(raw: Any) -> Any:
    if not isinstance(raw, dict):
        return raw
    return {key: {**fields, "id": key} if isinstance(fields, dict) else fields for key, fields in raw.items()}


ById = Annotated[dict[str, T], BeforeValidator(_with_ids)]  # records by their `id`, which is written as the key alone


def checked(raw: Any, schema: Any, place: object) -> Any:
    """`raw` as `schema` has it: a Record, or a list or mapping of them.

    The refusal of anything else begins with `place`, and names the field and what would be right.
    """
    try:
        return _adapter(schema).validate_python(raw)
    except ValidationError as error:
        fault = error.errors()[0]
        raise Refusal(
            ": ".join([str(place), *where(fault["loc"], raw, _levels(schema)), said(fault, schema)])
        ) from None


def where(loc: Sequence[int | str], raw: Any, levels: int = 0) -> list[str]:
    """The keys of the first levels, if the fault lies below them, and the path of fields below those.

    An entry of a list stands there by its number, counted from 0, and by its id or name if it has one.
    """
    parts = []
    for part in loc:
        raw = _below(raw, part)
        name = raw.get("id", raw.get("name")) if isinstance(part, int) and isinstance(raw, Mapping) else None
        parts.append(f"{part} ({name})" if isinstance(name, str) else str(part))
    return [*parts[:levels], *([".".join(parts[levels:])] if parts[levels:] else [])]


def said(fault: Mapping[str, Any], schema: Any) -> str:
    """What would be right in place of a fault that pydantic found, without its own words for the types."""
    if fault["type"] == "missing":
        return "is missing"
    if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        inner = _inner(schema, levels := _levels(schema))
        known = getattr(inner, "model_fields", {}) if len(fault["loc"]) == levels + 1 else {}
        return "is unknown" + (f"; known: {', '.join(known)}" if known else "")
    if fault["type"] in KINDS:
        return f"should be {KINDS[fault['type']]}, not {shown(fault['input'])}"
    text = re.sub(r"^(Value error, |(Input|String|List|Tuple|Dictionary) (?=should))", "", fault["msg"])
    own = fault["type"] in ("value_error", "should_be") or ", not " in text
    return text if own else f"{text}, not {shown(fault['input'])}"


def shown(value: Any) -> str:
    """A value as a sentence quotes it."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


@lru_cache
def _adapter(schema: Any) -> TypeAdapter:
    return TypeAdapter(schema)


def _levels(schema: Any) -> int:
    """How many keys or numbers lead to a record."""
    if get_origin(schema) is Annotated:
        return _levels(get_args(schema)[0])
    return 1 + _levels(get_args(schema)[-1]) if get_origin(schema) in (dict, list) else 0


def _inner(schema: Any, levels: int) -> Any:
    if get_origin(schema) is Annotated:
        return _inner(get_args(schema)[0], levels)
    return _inner(get_args(schema)[-1], levels - 1) if levels else schema


def _below(raw: Any, part: int | str) -> Any:
    """What stands there in a tree; None where a part of the place is no key of it, as the kind of a source."""
    if isinstance(raw, Mapping):
        return raw.get(part, raw if isinstance(part, str) else None)
    return raw[part] if isinstance(raw, Sequence) and isinstance(part, int) and part < len(raw) else None
