"""The furniture of an empty room: its files, from the templates beside this, and the lines elsewhere that name it.

What is made measures something simple and asks one made-up claim of it, so that every part can be seen to work before
it is replaced. Files that exist keep their comments and lines; where a line has no obvious place, nothing is written.
"""

from __future__ import annotations

import keyword
import re
import shutil
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from replications import imports, yaml12
from replications.claims.ledger import claims_file, rooms
from replications.errors import Refusal
from replications.files import read_yaml, write_text
from replications.settings import load_settings

TEMPLATES = Path(__file__).with_name("templates")
FURNITURE = ("__init__.py", "README.md", "stage.py", "quantities.py", "figures.py", "params.py")
RESERVED = ("datasets", "figures", "languages", "local", "model", "models", "dataset", "profile", "report")
WIDTH = 120
TOLERANCES = Path("data", "numerical_tolerances.yaml")


def furnish(room: str, matrix: str | None, root: Path) -> list[Path]:
    """Write the furniture of a room that goes over a matrix of params.yaml (None: it needs no weights).

    Returns the files written or changed. Refuses a name that cannot be a room's, or is taken, before anything is
    written.
    """
    check_name(room, root)
    known = load_settings(root).matrices
    if matrix is not None and matrix not in known:
        raise Refusal(f"{root / 'params.yaml'} has no matrix {matrix!r}; known: {', '.join(known)}")
    folders = root / "replications" / room, root / "tests" / room
    files = {folders[0] / name: rendered(name, room, matrix) for name in FURNITURE}
    files[folders[1] / "test_quantities.py"] = rendered("test_quantities.py", room, matrix)
    try:
        for file, text in files.items():
            write_text(file, text)
        changed = {
            root / "dvc.yaml": pipeline_with(room, matrix, root),
            root / "params.yaml": _appended(root / "params.yaml", rendered("params.yaml", room, matrix), (room,)),
            root / TOLERANCES: _appended(root / TOLERANCES, f"  {room}: rounding\n", ("rooms", room)),
        }
    except BaseException:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    changed[claims_file(room, root)] = rendered("claims.yaml", room, matrix)
    for file, text in changed.items():
        write_text(file, text)
    return [*files, *changed]


def check_name(room: str, root: Path) -> None:
    """Refuse a name that no package can have, that means something else here, or that is taken."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", room) or keyword.iskeyword(room):
        raise Refusal(f"{room!r} cannot be a room: it should be a Python name in lower case, such as ioi_circuit")
    if room in RESERVED or room.endswith("runs"):
        raise Refusal(f"{room!r} cannot be a room: it means something else in dvc.yaml, params.yaml or reports/")
    folders = (root / "replications", root / "tests", root / "reports", root / "data" / "claims")
    taken = [place for folder in folders for place in folder.glob(f"{room}*") if place.stem == room]
    if taken:
        raise Refusal(f"{taken[0]} exists: the room should have a name of its own")
    for file in ("dvc.yaml", "params.yaml"):
        tree = read_yaml(root / file)
        if room in tree or room in tree.get("stages", {}):
            raise Refusal(f"{root / file} has a part {room!r}: the room should have a name of its own")


def rendered(name: str, room: str, matrix: str | None, **more: str) -> str:
    """The template of this name, filled in."""
    made = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True,
                       lstrip_blocks=True, keep_trailing_newline=True)  # fmt: skip
    text = made.get_template(f"{name}.j2").render(room=room, matrix=matrix, **more)
    return re.sub(r"(?m)(?:^from replications.*\n)+", _in_order, text)


def _in_order(lines: re.Match[str]) -> str:
    """Imports by module: where that of the room stands depends on its name."""
    return "".join(sorted(lines[0].splitlines(keepends=True), key=lambda line: line.split()[1]))


def pipeline_with(room: str, matrix: str | None, root: Path) -> str:
    """dvc.yaml with a stage of this room after those of the others, and its name under `figures` and `report`."""
    file = root / "dvc.yaml"
    text = file.read_text(encoding="utf-8")
    tree = yaml12.parse(text)
    names = list(tree["stages"])
    after = names[names.index([name for name in names if name in rooms(root)][-1]) + 1]
    block = rendered("dvc.yaml", room, matrix, deps=_flow(dependencies(room, matrix, root), 13 if matrix else 11))
    text = text.replace(f"  {after}:\n", f"{block}  {after}:\n", 1)
    text = _listed(text, "figures", "foreach", room)
    text = _listed(text, "report", "deps", f"reports/{room}")
    if matrix:
        text = _listed(text, "report", "outs", f"reports/forest_{room}.svg: *kept")
    wanted = _wanted(tree, yaml12.parse(f"stages:\n{block}")["stages"], room, matrix)
    if yaml12.parse(text) != wanted:
        raise Refusal(f"{file} is not laid out as one block per stage: add {room} as the other rooms have it, by hand")
    return text


def dependencies(room: str, matrix: str | None, root: Path) -> list[str]:
    """What the stage of the room as it stands imports, and what a stage of this matrix reads besides."""
    own = f"replications/{room}"
    code = {own if str(file).startswith(f"{own}/") else str(file)
            for file in imports.closure(f"replications.{room}.stage", root=root)}  # fmt: skip
    read = ['"data/stimuli/${item.language}.yaml"', '"reports/models/${item.model}.json"'] if matrix else []
    return [*read, *sorted(code)]


def _wanted(tree: Any, block: dict[str, Any], room: str, matrix: str | None) -> dict[str, Any]:
    """What dvc.yaml should hold in the end."""
    stages = {**tree["stages"], **block}
    figures, report = stages["figures"], stages["report"]
    outs = [{f"reports/forest_{room}.svg": {"cache": False, "persist": True}}] if matrix else []
    stages["figures"] = {**figures, "foreach": [*figures["foreach"], room]}
    stages["report"] = {**report, "deps": [*report["deps"], f"reports/{room}"], "outs": [*report["outs"], *outs]}
    return {**tree, "stages": stages}


def _listed(text: str, stage: str, field: str, item: str) -> str:
    """The text with an item more at the end of a flow list of a stage."""
    found = re.search(rf"(?ms)^  {stage}:\n.*?^( +{field}: )\[([^\]]*)\]", text)
    if found is None:
        return text
    items = [one.strip() for one in found[2].split(",")]
    flow = _flow([*items, item], len(found[1]) + 1)
    return text[: found.start(2) - 1] + flow + text[found.end() :]


def _appended(file: Path, more: str, path: Iterable[str]) -> str:
    """The file's text and, at its end, what then stands at this path. Refuses a file that ends in something else."""
    text = file.read_text(encoding="utf-8").rstrip("\n") + "\n" + more
    tree = yaml12.parse(text)
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    if tree is None:
        raise Refusal(f"{file} should end with its rooms: add `{more.strip()}` where it belongs by hand")
    return text


def _flow(items: list[str], indent: int) -> str:
    """A list in brackets, in lines of WIDTH; lines after the first begin in this column."""
    wrapped = textwrap.wrap(", ".join(items), WIDTH - indent - 1, break_long_words=False, break_on_hyphens=False)
    return "[" + ("\n" + " " * indent).join(wrapped) + "]"
