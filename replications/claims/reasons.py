"""Why a verdict is not the hoped-for one: a person's words with the evidence's numbers in them, or the numbers alone.

In a person's words {measured}, {interval}, {control} and {n} stand for what the verdict rests on, and with a path after
a colon for the same of another quantity of the run: {measured:facts.base.S}, {control:facts.base.S}. A brace that is
meant as one is doubled.
"""

from collections.abc import Mapping
from string import Formatter
from typing import Any

from replications.claims.evidence import Evidence, Flaw, nearest, node
from replications.claims.schema import Estimate
from replications.errors import Refusal

KINDS = ("measured", "interval", "control", "n")
KNOWN = ", ".join(f"{{{kind}}}" for kind in KINDS) + ", each also with a path, as in {measured:a.b}"
NOTHING = "no value"  # what a quantity has that could not be measured


def check(text: str) -> None:
    """ValueError, in words, for a template whose braces do not pair or hold something unknown."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError:
        raise ValueError("every brace should have its other half; one that is meant as such is doubled") from None
    for _, kind, _, conversion in parts:
        if kind is not None and (kind not in KINDS or conversion):
            raise ValueError(f"{{{kind}}} is unknown; known: {KNOWN}")


def filled(text: str, row: Mapping[str, Any], evidence: Evidence | None, place: str) -> str:
    """The template with the numbers of its row of the verdict table and of the run's evidence (None: there is none).

    Refuses, beginning with `place`, a path that names no estimate of a run whose evidence can be read.
    """
    parts = []
    for literal, kind, path, _ in Formatter().parse(text):
        parts.append(literal)
        if kind is not None:
            parts.append(_of_quantity(kind, path, evidence, place) if path else _of_row(kind, row))
    return "".join(parts)


def made(row: Mapping[str, Any], asked: str, why: str) -> str:
    """What the numbers of a row say by themselves: what was measured, what was asked, and `why` in a clause or none."""
    behind = [_of_row("interval", row)] * (row["ci_low"] is not None) + [f"n = {row['n']}"]
    behind += [] if _is_blank(row["control"]) else [f"control {number(row['control'])}"]
    said = f"{number(row['measured'])} ({', '.join(behind)}), where {asked} is asked"
    return f"{said}: {why}" if why else said


def number(value: float | str) -> str:
    """A number at four significant digits, as every table shows it; text as it is."""
    return value if isinstance(value, str) else f"{value:.4g}"


def _of_row(kind: str, row: Mapping[str, Any]) -> str:
    if kind == "interval":
        return _interval(row["ci_low"], row["ci_high"])
    value = row[kind]
    return NOTHING if _is_blank(value) else str(value) if kind == "n" else number(value)


def _of_quantity(kind: str, path: str, evidence: Evidence | None, place: str) -> str:
    tree = {} if evidence is None else evidence.control if kind == "control" else evidence.measured
    found = node(tree, path)
    if evidence is None or isinstance(found, Flaw):
        return NOTHING
    if not isinstance(found, Estimate):
        raise Refusal(f"{place}: reason: {{{kind}:{path}}} names no quantity of the run; nearest: "
                      f"{nearest(path, [tree])}; without a path: {', '.join(KINDS)}")  # fmt: skip
    if kind == "interval":
        return _interval(found.ci_low, found.ci_high)
    if kind == "n":
        return str(found.n)
    values = found.value if isinstance(found.value, list) else [found.value]
    return ", ".join(NOTHING if value is None else number(value) for value in values)


def _interval(low: float | None, high: float | None) -> str:
    return "no interval" if low is None or high is None else f"{number(low)} to {number(high)}"


def _is_blank(value: Any) -> bool:
    return value is None or value != value
