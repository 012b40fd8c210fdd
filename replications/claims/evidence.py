"""Reading metrics.json: which runs of a room were measured, and the estimates a criterion asks for."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from replications.claims.schema import WEIGHTLESS, Criterion, Estimate
from replications.errors import Refusal
from replications.settings import ROOT, load_settings

ModelLanguage = tuple[str, str]  # model, language
PARTS = ("measured", "control")
DEEPEST = 30  # groups within groups; a deeper tree would only exhaust the stack of those who walk it
RIGHT = {
    "value": "a finite number, text, a list of these or null",
    "ci_low": "a finite number or null",
    "ci_high": "a finite number or null",
    "n": "a whole number, 1 or more",
}


@dataclass(frozen=True)
class Flaw:
    """What stands where an estimate or a group should be, and why it is none: a sentence that names the place."""

    what: str


EvidenceTree = dict[str, "EvidenceNode"]
EvidenceNode = Estimate | Flaw | EvidenceTree


@dataclass(frozen=True)
class Evidence:
    """One metrics.json: what was measured, and the same on the random-weights twin (empty without one)."""

    file: Path
    measured: EvidenceTree
    control: EvidenceTree


def room_evidence(room: str, root: Path = ROOT) -> dict[ModelLanguage, Evidence | Refusal]:
    """Every metrics.json of the room, by (model, language); where one cannot be read, the reason.

    A flaw within a file stays in its tree: it concerns those who ask for that estimate.
    """
    files = sorted((root / "reports" / room).glob("*/*/metrics.json"))
    return {(file.parts[-3], file.parts[-2]): _read_or_reason(file, root) for file in files}


def read_evidence(file: Path, root: Path = ROOT) -> Evidence:
    """Parse reports/<room>/<model>/<language>/metrics.json, which should be without a flaw.

    A refusal names the command that rebuilds it.
    """
    evidence = _read(file, root)
    for part in (evidence.measured, evidence.control):
        for flaw in _flaws(part):
            raise not_whole(file, flaw.what, root)
    return evidence


def not_whole(file: Path, why: str, root: Path = ROOT) -> Refusal:
    """The refusal of a metrics.json."""
    room, model, language = file.parts[-4:-1]
    rebuild = rebuild_command(room, model, language, root)
    return Refusal(f"{name_of(file, root)} is not whole evidence ({why}): rebuild it with `{rebuild}`")


def name_of(file: Path, root: Path) -> str:
    """A file of the checkout from its root, alike on every machine; one that lies elsewhere by its whole path."""
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)


def rebuild_command(room: str, model: str, language: str, root: Path = ROOT) -> str:
    """The DVC command that makes this evidence again; `replicate run` where params.yaml has no such run."""
    if model in WEIGHTLESS:
        return f"dvc repro --force {room}"
    name = load_settings(root).run_name(model, language)
    return f"dvc repro --force {room}@{name}" if name else f"{run_command(room, model, language)} --out reports"


def run_command(room: str, model: str, language: str) -> str:
    """The command that measures one run of a room."""
    return f"replicate run {room} --model {model} --language {language}"


def find(tree: EvidenceTree, criterion: Criterion) -> dict[str, Estimate] | None:
    """The estimates a criterion names, by path or by key within an arg-max group; None when one is absent.

    Refuses a flaw in place of one of them.
    """
    nodes: Mapping[str, EvidenceNode | None] = {path: node(tree, path) for path in criterion.quantities}
    if criterion.comparison == "argmax":
        (group,) = nodes.values()
        if isinstance(group, dict):
            nodes = group
    for found in nodes.values():
        if isinstance(found, Flaw):
            raise Refusal(found.what)
    whole = {path: found for path, found in nodes.items() if isinstance(found, Estimate)}
    return whole if nodes and len(whole) == len(nodes) else None


def node(tree: EvidenceTree, path: str) -> EvidenceNode | None:
    """What stands at a dotted path; a flaw on the way there stands for everything below it."""
    found: EvidenceNode | None = tree
    for key in path.split("."):
        if not isinstance(found, Flaw):
            found = found.get(key) if isinstance(found, dict) else None
    return found


def paths(tree: EvidenceTree, prefix: str = "") -> Iterator[str]:
    """Every dotted path of the tree, groups as well as estimates."""
    for key, below in tree.items():
        yield prefix + key
        if isinstance(below, dict):
            yield from paths(below, f"{prefix}{key}.")


def nearest(wanted: str, trees: list[EvidenceTree]) -> str:
    """The existing paths that look most like `wanted`, as text for a sentence."""
    known = dict.fromkeys(path for tree in trees for path in paths(tree) if path != wanted)
    return ", ".join(get_close_matches(wanted, known, n=3, cutoff=0.3)) or "nothing similar"


def without_places(path: str) -> str:
    """The path with its layers and heads blanked: heads.L9H9 and heads.L0H3 are the same kind of quantity."""
    return ".".join("#" if re.fullmatch(r"\d+|L\d+(H\d+)?", part) else part for part in path.split("."))


def _read_or_reason(file: Path, root: Path) -> Evidence | Refusal:
    try:
        return _read(file, root)
    except Refusal as refusal:
        return refusal


def _read(file: Path, root: Path) -> Evidence:
    """The file with its flaws in place; refuses one that is cut off or not a tree of what was measured."""
    try:
        raw = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not JSON, or not UTF-8
        raise not_whole(file, _why(error), root) from None
    if isinstance(raw, _Twice):
        raise not_whole(file, f"the key {raw.key!r} is given twice", root)
    if not isinstance(raw, dict) or "measured" not in raw:
        raise not_whole(file, "it has no `measured`", root)
    trees: list[Any] = [_tree(raw.get(part, {}), part) for part in PARTS]
    for flaw in trees:
        if isinstance(flaw, Flaw):
            raise not_whole(file, flaw.what, root)
    return Evidence(file, *trees)


def _why(error: Exception) -> str:
    """What went wrong, in words that are the same on every machine."""
    return error.strerror or "it cannot be read" if isinstance(error, OSError) else " ".join(str(error).split())


@dataclass(frozen=True)
class _Twice:
    """A JSON object that gives a key twice: which of the two values is meant?"""

    key: str


def _once(pairs: list[tuple[str, Any]]) -> "dict[str, Any] | _Twice":
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        return _Twice(next(key for key in keys if keys.count(key) > 1))
    return made


def _tree(raw: object, path: str) -> "Estimate | Flaw | EvidenceTree":
    """`raw` with its leaves typed, and a flaw for each node that is neither a group nor an estimate."""
    if isinstance(raw, _Twice):
        return Flaw(f"{path} gives the key {raw.key!r} twice")
    if not isinstance(raw, dict):
        return Flaw(f"{path} should be a group or an estimate with value, ci_low, ci_high and n")
    if "value" in raw:
        return _leaf(raw, path)
    if path.count(".") > DEEPEST:
        return Flaw(f"{path.partition('.')[0]} holds groups within groups without end")
    return {key: _tree(below, f"{path}.{key}") for key, below in raw.items()}


def _leaf(raw: dict, path: str) -> Estimate | Flaw:
    try:
        return Estimate.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = first["loc"][0] if first["loc"] else ""
        if first["type"] == "missing":
            return Flaw(f"{path} has no {field}")
        if first["type"] == "extra_forbidden":
            return Flaw(f"{path} has a field {field}; those of an estimate are {', '.join(RIGHT)}")
        if field in RIGHT:
            return Flaw(f"{path}.{field} should be {RIGHT[field]}, not {json.dumps(raw[field], default=str)[:80]}")
        return Flaw(f"{path}: {first['msg'].removeprefix('Value error, ')}")


def _flaws(tree: "Estimate | Flaw | EvidenceTree") -> Iterator[Flaw]:
    if isinstance(tree, Flaw):
        yield tree
    elif isinstance(tree, dict):
        for below in tree.values():
            yield from _flaws(below)
