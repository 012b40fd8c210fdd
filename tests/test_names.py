"""A type that several packages can see has a name of its own: whoever meets it need not ask which one is meant."""

import ast
from collections import defaultdict

from replications.claims.ledger import rooms
from replications.settings import ROOT

PACKAGE = ROOT / "replications"


def types(source: str) -> list[str]:
    """Names of the classes and aliases at the top of a module: in capitals and small letters, and no type variables."""
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name.lstrip("_")[:1].isupper() and not name.isupper() and not _is_variable(node.value):
                found.append(name)
    return found


def _is_variable(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "TypeVar"


def test_classes_and_aliases_are_found_and_constants_and_type_variables_are_not():
    source = "class One:\n    class Inner: pass\nTwo = dict[str, int]\nTHREE = 3\nFour = TypeVar('Four')\nfive = Two\n"
    assert types(source) == ["One", "Two"]


def test_no_two_types_have_one_name_where_a_shared_package_defines_one_of_them():
    """Rooms may name their parts alike: no room sees another's."""
    places = defaultdict(list)
    for file in sorted(PACKAGE.rglob("*.py")):
        for name in types(file.read_text(encoding="utf-8")):
            places[name].append(file.relative_to(PACKAGE))
    listed = set(rooms())
    twice = {
        name: [str(file) for file in files]
        for name, files in places.items()
        if len(files) > 1 and any(file.parts[0] not in listed for file in files)
    }
    assert not twice
