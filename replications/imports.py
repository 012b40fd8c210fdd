"""What code depends on, worked out from what it imports: the project's own files, one after the other.

Numbers depend on less than what is loaded. Three kinds of module are not followed, each for a reason that is written
beside it: nothing in them can change a number without changing something else that a stage depends on.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from replications import files
from replications.settings import ROOT

PACKAGE = "replications"
NOT_FOLLOWED = {
    "replications.catalogue": "how files are got: their bytes are pinned by the manifests, which a stage depends on",
    "replications.models.weights": "how weights are made: their hash is in the model's manifest",
    "replications.settings": "where things lie, and params: dvc.yaml names the sections that a stage depends on",
    "replications.params": "what params may look like: refuses or lets pass",
    "replications.records": "what files may look like: refuses or lets pass",
    "replications.places": "where a run's files lie",
    "replications.imports": "this: whether what is kept is still good, not what it is",
    "replications.progress": "what is said meanwhile",
    "replications.garbage": "when memory is searched for what can be let go",
    "replications.errors": "names of what goes wrong",
}


def closure(*modules: str, root: Path = ROOT) -> list[Path]:
    """Files of the named modules and of everything that they import, sorted; relative to `root`.

    Imports inside functions count, those that only type checkers see do not. A package's `__init__` that holds nothing
    but a docstring is no dependency.
    """
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found and not is_apart(name):
            found[name] = _file(name, root)
            waiting += imports(name, root)
    return sorted(file.relative_to(root) for file in found.values())


def digest(*modules: str, root: Path = ROOT) -> str:
    """One SHA-256 for the paths and contents of the whole closure."""
    whole = hashlib.sha256()
    for file in closure(*modules, root=root):
        whole.update(f"{file}\0{files.sha256(root / file)}\n".encode())
    return whole.hexdigest()


def is_apart(name: str) -> bool:
    """Whether a module is one of those that cannot change a number."""
    return any(name == apart or name.startswith(f"{apart}.") for apart in NOT_FOLLOWED)


@cache
def imports(name: str, root: Path = ROOT) -> tuple[str, ...]:
    """The project's modules that a module imports itself, and the packages on the way that hold code."""
    named = dict.fromkeys(one for node in _statements(_tree(name, root)) for one in _named(node, root))
    packages = (parent for one in (name, *named) for parent in _parents(one) if _holds_code(parent, root))
    return tuple(dict.fromkeys([*named, *packages]))


def modules(root: Path = ROOT) -> list[str]:
    """Every module of the project, by its dotted name."""
    files_ = sorted((root / PACKAGE).rglob("*.py"))
    return [".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__") for file in files_]


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those below `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _statements(node)


def _named(node: ast.AST, root: Path) -> Iterable[str]:
    """Modules of the project that an import statement names, as packages or as what it takes from them."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if _is_module(alias.name, root)]
    if isinstance(node, ast.ImportFrom) and node.module and node.level == 0 and _is_module(node.module, root):
        whole = [f"{node.module}.{alias.name}" for alias in node.names]
        return [one if _is_module(one, root) else node.module for one in whole]
    return []


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _holds_code(name: str, root: Path) -> bool:
    return _file(name, root).is_file() and len(_tree(name, root).body) > 1


@cache
def _tree(name: str, root: Path) -> ast.Module:
    file = _file(name, root)
    return ast.parse(file.read_text(encoding="utf-8")) if file.is_file() else ast.Module([], [])


@cache
def _is_module(name: str, root: Path) -> bool:
    place = root.joinpath(*name.split("."))
    return name.split(".")[0] == PACKAGE and (place.with_suffix(".py").is_file() or place.is_dir())


def _file(name: str, root: Path) -> Path:
    place = root.joinpath(*name.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
