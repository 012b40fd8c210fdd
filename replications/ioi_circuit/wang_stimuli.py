"""The paper's own names, places, objects and templates, read out of the authors' `ioi_dataset.py` as data.

The file is parsed and its lists are evaluated as literals; nothing of it is executed. Its ABBA templates are the BABA
ones with the first two names exchanged, which is what our name orders do, so the BABA list is enough. Unlike the file's
own ABC prompts, made by flips that may hit the same name twice, ours name three people that are different from each
other and from the prompt's.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from replications.errors import Refusal

LISTS = {"names": "NAMES", "places": "PLACES", "objects": "OBJECTS", "templates": "BABA_TEMPLATES"}
NAME = re.compile(r"(\[[AB]\])")
NAMED = ["[B]", "[A]", "[B]", "[A]"]


@dataclass(frozen=True)
class PaperGrammar:
    """The paper's lists, with templates in our notation ({A}, {B} in order of mention, {S} the one repeated)."""

    names: tuple[str, ...]
    places: tuple[str, ...]
    objects: tuple[str, ...]
    templates: tuple[str, ...]


def read(source: str, name: str = "ioi_dataset.py") -> PaperGrammar:
    """The lists of this source text. Refuses one that lacks a list, or has a template of another form."""
    found = _literals(source, name)
    missing = [wanted for wanted in LISTS.values() if wanted not in found]
    if missing:
        raise Refusal(f"{name}: {', '.join(missing)} should be assigned as a list of texts at the top level")
    lists = {field: tuple(found[wanted]) for field, wanted in LISTS.items()}
    return PaperGrammar(**lists | {"templates": tuple(template(text, name) for text in lists["templates"])})


def template(text: str, name: str = "ioi_dataset.py") -> str:
    """`[B] and [A] ... [B] gave it to [A]` as a template that ends where the last name is due."""
    parts = NAME.split(text)
    if parts[1::2] != NAMED or parts[-1] or not parts[-3].endswith(" "):
        raise Refusal(f"{name}: template {text!r} should name [B], [A] and [B] again, and end in ' [A]'")
    head, between, middle, tail, _ = parts[::2]
    made = head + "{A}" + between + "{B}" + middle + "{S}" + tail.removesuffix(" ")
    return made.replace("[PLACE]", "{place}").replace("[OBJECT]", "{object}")


def _literals(source: str, name: str) -> dict[str, list[str]]:
    """Lists of texts that are assigned to a plain name at the top level; the first assignment counts."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise Refusal(f"{name} is not Python source (line {error.lineno}): fetch it again") from None
    except (ValueError, RecursionError, MemoryError) as error:  # a zero byte; brackets in brackets
        raise Refusal(f"{name} is not Python source ({error}): fetch it again") from None
    found: dict[str, list[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List):
            texts = _texts(node.value)
            for target in node.targets:
                if texts and isinstance(target, ast.Name):
                    found.setdefault(target.id, texts)
    return found


def _texts(node: ast.List) -> list[str] | None:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):  # what literal_eval documents
        return None
    return value if all(isinstance(item, str) for item in value) else None
