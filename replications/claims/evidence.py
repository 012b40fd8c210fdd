"""Reading metrics.json: which runs of a room were measured, and the estimates a criterion asks for."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from pydantic import ValidationError

from replications.claims.schema import WEIGHTLESS, Criterion, Estimate
from replications.errors import Refusal
from replications.settings import ROOT, load_settings

Tree = dict[str, "Estimate | Tree"]
Place = tuple[str, str]  # model, language


@dataclass(frozen=True)
class Evidence:
    """One metrics.json: what was measured, and the same on the random-weights twin (empty without one)."""

    file: Path
    measured: Tree
    control: Tree


def room_evidence(room: str, root: Path = ROOT) -> dict[Place, Evidence]:
    """Every metrics.json of the room, by (model, language). Refuses one that is cut off or malformed."""
    files = sorted((root / "reports" / room).glob("*/*/metrics.json"))
    return {file.parts[-3:-1]: read_evidence(file, root) for file in files}


def read_evidence(file: Path, root: Path = ROOT) -> Evidence:
    """Parse reports/<room>/<model>/<language>/metrics.json; a refusal names the command that rebuilds it."""
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(raw, dict) or "measured" not in raw:
            raise ValueError("it has no `measured`")
        return Evidence(file, *(_tree(raw.get(part, {}), part) for part in ("measured", "control")))
    except ValueError as error:  # also JSONDecodeError and UnicodeDecodeError
        rebuild = rebuild_command(*file.parts[-4:-1], root)
        raise Refusal(f"{file} is not whole evidence ({error}): rebuild it with `{rebuild}`") from None


def rebuild_command(room: str, model: str, language: str, root: Path = ROOT) -> str:
    """The DVC command that makes this evidence again; `replicate run` where params.yaml has no such run."""
    if model in WEIGHTLESS:
        return f"dvc repro --force {room}"
    name = load_settings(root).run_name(model, language)
    return f"dvc repro --force {room}@{name}" if name else f"{run_command(room, model, language)} --out reports"


def run_command(room: str, model: str, language: str) -> str:
    """The command that measures one run of a room."""
    return f"replicate run {room} --model {model} --language {language}"


def find(tree: Tree, criterion: Criterion) -> dict[str, Estimate] | None:
    """The estimates a criterion names, by path or by key within an arg-max group; None when one is absent."""
    nodes = {path: _node(tree, path) for path in criterion.quantities}
    if criterion.comparison == "argmax":
        (group,) = nodes.values()
        if isinstance(group, dict):
            nodes = group
    whole = nodes and all(isinstance(node, Estimate) for node in nodes.values())
    return nodes if whole else None


def paths(tree: Tree, prefix: str = "") -> Iterator[str]:
    """Every dotted path of the tree, groups as well as estimates."""
    for key, node in tree.items():
        yield prefix + key
        if isinstance(node, dict):
            yield from paths(node, f"{prefix}{key}.")


def without_places(path: str) -> str:
    """The path with its layers and heads blanked: heads.L9H9 and heads.L0H3 are the same kind of quantity."""
    return ".".join("#" if re.fullmatch(r"\d+|L\d+(H\d+)?", part) else part for part in path.split("."))


def nearest(wanted: str, trees: list[Tree]) -> str:
    """The existing paths that look most like `wanted`, as text for a refusal."""
    known = dict.fromkeys(path for tree in trees for path in paths(tree) if path != wanted)
    return ", ".join(get_close_matches(wanted, known, n=3, cutoff=0.3)) or "nothing similar"


def _node(tree: Tree, path: str) -> "Estimate | Tree | None":
    node: Estimate | Tree | None = tree
    for key in path.split("."):
        node = node.get(key) if isinstance(node, dict) else None
    return node


def _tree(raw: object, path: str) -> Tree:
    """`raw` with its leaves typed. ValueError at the first node that is neither a group nor an estimate."""
    if not isinstance(raw, dict):
        raise ValueError(f"{path} should be a group or an estimate with value, ci_low, ci_high and n")
    return {key: _leaf(node, f"{path}.{key}") if _is_leaf(node) else _tree(node, f"{path}.{key}")
            for key, node in raw.items()}  # fmt: skip


def _is_leaf(node: object) -> bool:
    return isinstance(node, dict) and "value" in node


def _leaf(node: dict, path: str) -> Estimate:
    try:
        return Estimate.model_validate(node)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join([path, *map(str, first['loc'])])}: {first['msg']}") from None
