"""Files and functions stay short enough to be read at once."""

import ast

import pytest

from replications.settings import ROOT

FILES = [*(ROOT / "replications").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
LINES_OF_FILE, LINES_OF_FUNCTION = 400, 60


@pytest.mark.parametrize("folder", ["replications", "tests"])
def test_no_file_is_long(folder):
    lines = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in (ROOT / folder).rglob("*.py")}
    assert lines
    assert {name: n for name, n in lines.items() if n > LINES_OF_FILE} == {}


def test_no_function_is_long():
    found = {
        f"{file.relative_to(ROOT)}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    assert found
    assert {name: n for name, n in found.items() if n > LINES_OF_FUNCTION} == {}
