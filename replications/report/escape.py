"""What others wrote (claims, findings, evidence, catalogues, params), made safe to show: nothing is shown without it.

One function per place a text can reach. All of them first spell out what would move, hide or reorder what is around it:
control characters, bidirectional controls and invisible formatting become `\\u202e` and the like. The joiners that
Indic and Persian words, and emoji, are made with stay, as do the visible signs that Unicode files under formatting.
"""

from __future__ import annotations

import html as standard
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

JOINERS = "\u200c\u200d"
VISIBLE = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"  # number signs
BREAKS = re.compile(r"[\n\r\t\v\f\x1c-\x1e\x85\u2028\u2029]+")
CODE = re.compile(r"(?<!`)(`[^`\\|]+`)(?!`)")  # what every Markdown reader takes for code, and nothing else
MARKUP = re.compile(
    r"""\\(?![A-Za-z0-9]) | [`~$]    # escapes; code, strike-through, formulas
      | \*(?!\s) | (?<![^\W_])_(?!\s)  # what could open emphasis
      | <(?![\s=]) | &(?=\#?\w+;)  # tags, addresses, comments; entities
      | !(?=\[|$) | ](?=[(\[:]|$)  # images, links, definitions""",
    re.VERBOSE,
)


def terminal(text: object) -> Text:
    """One line for the terminal, as text that rich takes no markup or emoji from; `.plain` for a bare `print`."""
    from rich.text import Text

    return Text(_on_one_line(text))


def markdown(text: object) -> str:
    """Part of a line of Markdown, of a cell or of a list item after its start, that reads as the text.

    Plain `code` stays code. A bar stays a bar: who builds a table escapes those of whole cells.
    """
    parts = CODE.split(_on_one_line(text))
    return "".join(part if code else MARKUP.sub(_as_entity, part) for code, part in _alternating(parts))


def html(text: object) -> str:
    """HTML that reads as the text, as content or in a quoted attribute; line ends are kept."""
    return standard.escape(_spelled_out(str(text)))


def _alternating(parts: list[str]) -> list[tuple[bool, str]]:
    """The parts of a split with one group: every second one is what the group matched."""
    return [(number % 2 == 1, part) for number, part in enumerate(parts)]


def _as_entity(found: re.Match) -> str:
    """A character as its number: unlike a backslash, that means the same after any other character."""
    return "".join(f"&#{ord(each)};" for each in found.group())


def _on_one_line(text: object) -> str:
    return _spelled_out(BREAKS.sub(" ", str(text)))


def _spelled_out(text: str) -> str:
    return "".join(_escape_sequence(each) if _is_unseen(each) else each for each in text)


def _is_unseen(character: str) -> bool:
    """Control, formatting and half characters, except line ends and tabs (kept or folded by the caller)."""
    if character in "\n\t" or character in JOINERS or character in VISIBLE:
        return False
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _escape_sequence(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
