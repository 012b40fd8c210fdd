"""dvc.yaml, read: which stages there are, once `foreach` is spelled out, and what each needs from outside."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from replications.errors import Refusal
from replications.settings import ROOT

NEEDS = ("models", "datasets")  # reports/models/<id>.json and reports/datasets/<id>.json stand for what is fetched


@dataclass(frozen=True)
class Stage:
    """A stage as `dvc repro` names it; `deps` and `outs` are paths from the root of the checkout."""

    name: str
    cmd: str
    deps: list[str]
    params: list[str]
    outs: list[str]

    @property
    def needs(self) -> list[tuple[str, str]]:
        """("models" or "datasets", id) of everything that has to be fetched for it, itself included."""
        paths = [Path(path) for path in (*self.deps, *self.outs)]
        found = [(path.parent.name, path.stem) for path in paths if path.parent.parent == Path("reports")]
        return list(dict.fromkeys(need for need in found if need[0] in NEEDS))


def stages(root: Path = ROOT) -> list[Stage]:
    """Every stage of `root`/dvc.yaml, in the file's order. Refuses a file that is not one."""
    try:
        blocks = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
        params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
        return [stage for name, block in blocks.items() for stage in _spelled_out(name, block, params)]
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise Refusal(f"{root / 'dvc.yaml'} cannot be read together with params.yaml ({error!r})") from None


def room_stage(room: str, item: Mapping[str, str], root: Path = ROOT) -> tuple[Stage | None, str | None]:
    """A room's stage on a model and language that params.yaml need not have, and the matrix that it goes over, if any.

    No stage where dvc.yaml has none of this name.
    """
    file = root / "dvc.yaml"
    try:
        block = yaml.safe_load(file.read_text(encoding="utf-8"))["stages"][room]
    except (FileNotFoundError, KeyError):
        return None, None
    except (OSError, yaml.YAMLError, TypeError, AttributeError) as error:
        raise Refusal(f"{file} cannot be read ({error!r})") from None
    matrix = block.get("foreach")
    stage = _stage(room, _substituted(block.get("do", block), dict(item)))
    return stage, matrix and matrix.removeprefix("${").removesuffix("}")


def _spelled_out(name: str, block: dict[str, Any], params: dict[str, Any]) -> Iterator[Stage]:
    """One stage, or one per item of the list or mapping of params.yaml that `foreach` names."""
    if "foreach" not in block:
        yield _stage(name, block)
        return
    items = params[block["foreach"].removeprefix("${").removesuffix("}")]
    for key, item in items.items() if isinstance(items, dict) else ((item, item) for item in items):
        yield _stage(f"{name}@{key}", _substituted(block["do"], item))


def _stage(name: str, block: dict[str, Any]) -> Stage:
    declared = [out for kind in ("outs", "metrics", "plots") for out in block.get(kind, [])]
    outs = [out if isinstance(out, str) else next(iter(out)) for out in declared]
    return Stage(name, block["cmd"], block.get("deps", []), block.get("params", []), outs)


def _substituted(tree: Any, item: Any) -> Any:
    if isinstance(tree, dict):
        return {_substituted(key, item): _substituted(value, item) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_substituted(value, item) for value in tree]
    if not isinstance(tree, str):
        return tree
    fields = item if isinstance(item, dict) else {}
    for field, value in fields.items():
        tree = tree.replace(f"${{item.{field}}}", str(value))
    return tree.replace("${item}", str(item))
