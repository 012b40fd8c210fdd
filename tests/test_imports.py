"""What a module depends on is what it imports, and nothing that cannot change a number."""

import json
import subprocess
import sys

import pytest

from replications import imports
from replications.claims.ledger import rooms
from replications.settings import ROOT

FILES = {
    "replications/room/__init__.py": '"""A room."""\n',
    "replications/room/stage.py": "from replications.room import method\nfrom replications.models.load import load\n"
    "def run():\n    import replications.causal.patch\n",
    "replications/room/method.py": "from __future__ import annotations\nfrom typing import TYPE_CHECKING\n"
    "if TYPE_CHECKING:\n    from replications.room import typed\n",
    "replications/room/typed.py": "",
    "replications/room/figures.py": "",
    "replications/models/__init__.py": '"""Models."""\nfrom replications.models import families\n',
    "replications/models/load.py": "from replications import progress\nfrom replications.catalogue import store\n",
    "replications/models/families.py": "",
    "replications/causal/patch.py": "import torch\n",
    "replications/catalogue/store.py": "from replications.room import figures\n",
    "replications/progress.py": "",
}


@pytest.fixture
def tree(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_closure_is_what_is_imported_wherever_the_statement_stands(tree):
    assert [
        str(path.relative_to("replications")) for path in imports.closure("replications.room.stage", root=tree)
    ] == [
        "causal/patch.py",  # imported inside a function
        "models/__init__.py",  # holds code, so that it runs when models.load is imported
        "models/families.py",
        "models/load.py",
        "room/method.py",
        "room/stage.py",
    ]


def test_what_only_type_checkers_see_and_what_stands_apart_is_left_out(tree):
    found = {str(path) for path in imports.closure("replications.room.stage", root=tree)}
    assert not found & {f"replications/{name}" for name in ("room/typed.py", "progress.py", "catalogue/store.py")}


def test_every_module_that_stands_apart_exists_and_says_why():
    known = set(imports.modules())
    assert set(imports.NOT_FOLLOWED) <= known
    assert all(len(reason) > 20 for reason in imports.NOT_FOLLOWED.values())


@pytest.mark.parametrize("room", ["rome", "toy_sae"])
def test_the_closure_holds_what_is_loaded(room):
    """Against the interpreter: what importing a stage loads, but for what stands apart and for bare packages."""
    code = f"import json, sys; import replications.{room}.stage; print(json.dumps(list(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    apart = [name for name in json.loads(run.stdout) if imports.is_apart(name)]
    loaded = {name for name in json.loads(run.stdout) if name.startswith("replications.")} - set(apart)
    beyond = {one for name in apart for one in _reached(name)}
    known = {_dotted(path) for path in imports.closure(f"replications.{room}.stage")}
    bare = {name for name in loaded if (ROOT.joinpath(*name.split("."))).is_dir()}
    assert loaded - bare - beyond <= known


def _reached(name):
    return {_dotted(path) for path in imports.closure(*imports.imports(name))}


def _dotted(path):
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def test_modules_import_each_other_in_one_direction_only():
    order = []  # depth first; a module that is met again before it is done closes a circle
    done, open_ = set(), []

    def visit(name):
        assert name not in open_, f"a circle of imports: {' -> '.join([*open_[open_.index(name) :], name])}"
        if name not in done:
            open_.append(name)
            for one in imports.imports(name):
                if one != name and one not in _packages_of(name):
                    visit(one)
            open_.pop()
            done.add(name)
            order.append(name)

    for module in imports.modules():
        visit(module)
    assert len(order) == len(imports.modules())


def _packages_of(name):
    parts = name.split(".")
    return {".".join(parts[:length]) for length in range(1, len(parts))}


def test_no_package_that_rooms_share_imports_a_room():
    listed = rooms()
    for module in imports.modules():
        package = module.split(".")[1] if "." in module else ""
        if package not in listed and package != "cli":  # the command line opens each room by its name
            found = [one for one in imports.imports(module) if one.split(".")[1] in listed]
            assert not found, f"{module} imports {found}"
