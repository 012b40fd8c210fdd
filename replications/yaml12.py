"""YAML 1.2 as DVC reads it, by the same library: plain values only, keys that are text, each of them once, and bounded.

YAML 1.1 takes 020221101 for an octal number, `no` for false and 2e-3 for text; a file that one program reads so and
another not means two things. ruamel.yaml's own checks leave three holes, which are closed here: a key that stands twice
beside a merge (`<<`), values whose conversion fails with an error that names no line, and aliases of aliases, which
make gigabytes of a few lines.
"""

from collections.abc import Callable
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import ComposerError
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.resolver import VersionedResolver

DEPTH = 100  # of lists and mappings in one another; the parser in C would run off its stack near fifty thousand
SIZE = 10**6  # values, with every alias written out
KEYS = 10_000  # of one mapping, merged ones included
TAG = "tag:yaml.org,2002:"
TEXT = (f"{TAG}str", f"{TAG}merge", f"{TAG}value")  # the tags of `a`, `<<` and `=`
NUMBERS = {"int": "whole number", "float": "number", "bool": "truth value", "timestamp": "date"}


class BadYamlError(ValueError):
    """What is wrong with a YAML text, and in which line."""


def parse(text: str) -> Any:
    """The document's value, None for an empty one. Raises BadYamlError for everything else that is no such document."""
    yaml = YAML(typ="safe")
    yaml.Constructor, yaml.Resolver = _Constructor, _Resolver
    try:
        tree = yaml.load(text)
        if "*" in text:  # an alias can stand for much, and for what it stands in
            _measure(tree, {})
    except MarkedYAMLError as error:
        raise BadYamlError(_told(error, text)) from None
    except ReaderError as error:
        character = error.character if isinstance(error.character, str) else chr(max(error.character, 0))
        line = text.count("\n", 0, max(text.find(character), 0)) + 1
        raise BadYamlError(f"line {line}: character U+{ord(character):04X} is not allowed") from None
    except RecursionError:
        raise BadYamlError("nested too deep") from None
    except (YAMLError, ArithmeticError, ValueError) as error:
        raise BadYamlError(" ".join(str(error).split())) from None
    return tree


class _Resolver(VersionedResolver):
    """Rules of YAML 1.2, and the depth at which the composer is."""

    _deep = 0

    def descend_resolver(self, current_node: Node | None, current_index: Any) -> None:
        self._deep += 1
        if self._deep > DEPTH:
            raise ComposerError(None, None, f"lists and mappings nested more than {DEPTH} deep",
                                current_node and current_node.start_mark)  # fmt: skip

    def ascend_resolver(self) -> None:
        self._deep -= 1


class _Constructor(SafeConstructor):
    """Lists, mappings and scalars."""

    def flatten_mapping(self, node: MappingNode) -> None:
        if getattr(node, "merge", None) is None:  # else its keys were looked at before others were merged into it
            _check_keys(node)
        super().flatten_mapping(node)
        if len(node.value) > KEYS:
            raise ConstructorError(None, None, f"a mapping of more than {KEYS} keys", node.start_mark)

    def construct_undefined(self, node: Node) -> None:
        raise ConstructorError(None, None, f"tag {str(node.tag).removeprefix(TAG)!r} is not known", node.start_mark)


def _check_keys(node: MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if key.tag not in TEXT:
            given = repr(key.value[:40]) if isinstance(key.value, str) else f"a {key.id}"
            raise ConstructorError(None, None, f"a key should be text, not {given}: put it in quotes", key.start_mark)
        if key.value in seen:
            raise ConstructorError(None, None, f"key {key.value[:40]!r} is given twice: keep one", key.start_mark)
        seen.add(key.value)


def _marked(construct: Callable[[SafeConstructor, Node], Any], name: str) -> Callable[[SafeConstructor, Node], Any]:
    """`construct`, with the line of a scalar that is not what it looks like or is said to be."""

    def constructed(self: SafeConstructor, node: Node) -> Any:
        try:
            return construct(self, node)
        except (ArithmeticError, LookupError, ValueError) as error:
            said = f" ({error})" if name == "date" else ""
            raise ConstructorError(None, None, f"{node.value[:40]!r} is no {name}{said}", node.start_mark) from None

    return constructed


_Constructor.yaml_constructors = {
    f"{TAG}{name}": SafeConstructor.yaml_constructors[f"{TAG}{name}"] for name in ("null", "str", "seq", "map")
} | {
    f"{TAG}{name}": _marked(SafeConstructor.yaml_constructors[f"{TAG}{name}"], said) for name, said in NUMBERS.items()
} | {None: _Constructor.construct_undefined}  # fmt: skip


def _measure(tree: Any, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """Number of values and depth with every alias written out; `known` holds what was measured, None while at it."""
    if not isinstance(tree, dict | list):
        return 1, 0
    if id(tree) not in known:
        known[id(tree)] = None
        inner = [_measure(value, known) for value in (tree.values() if isinstance(tree, dict) else tree)]
        known[id(tree)] = 1 + sum(size for size, _ in inner), 1 + max((depth for _, depth in inner), default=0)
    found = known[id(tree)]
    if found is None:
        raise ValueError("an alias stands within what it stands for")
    if found[0] > SIZE or found[1] > DEPTH:
        raise ValueError(f"with its aliases written out it has more than {SIZE} values or {DEPTH} levels")
    return found


def _told(error: MarkedYAMLError, text: str) -> str:
    """Line and problem in one clause."""
    mark = error.problem_mark or error.context_mark
    said = " ".join(" ".join(part for part in (error.context, error.problem) if part).split())
    if mark is None:
        return said
    lines = text.splitlines()
    at = lines[mark.line] if mark.line < len(lines) else ""
    tab = at[mark.column : mark.column + 1] == "\t"
    return f"line {mark.line + 1}: {said}{': it is a tab, where spaces should be' if tab else ''}"
