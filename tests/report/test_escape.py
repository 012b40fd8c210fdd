"""Whatever a text holds, the terminal, a Markdown reader and a browser show it as text."""

import html as standard
import io
import re
import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console
from rich.table import Table

from replications.report.escape import html, markdown, terminal

HOSTILE = (
    "<script>alert(1)</script>", "<!-- ", "<https://x.example>", "&lt;", "&#60;", "![a](http://x.example/y.png)",
    "[a](http://x.example)", "[a][b]", "[b]: http://x.example", "\n\n# Heading\n\n", "\r", "\r\n", "\u202e", "\u2066",
    "\u200b", "\ufeff", "\u2028", "\x1b[2J", "\x07", "\x9b31m", "\ud800", "[/]", "[red]", "[/red]", ":warning:",
    "`", "``", "`code`", "\\", "\\`", "|", "\\|", "*", "**", "_", "__", "~~", "$x$", "- ", "1. ", "> ", "---", "a", " ",
)  # fmt: skip
texts = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=4), max_size=8).map("".join)
READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


class Page(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def folded(text):
    """Without what no reader shows as it is: several spaces, and the backquotes of code."""
    return " ".join(text.replace("`", "").split())


def unseen(text):
    return [each for each in text if unicodedata.category(each) in ("Cc", "Cs") or each in "\u202e\u2066\u200b\ufeff"]


@settings(max_examples=60, deadline=None)
@given(texts)
def test_markdown_reads_as_the_text_and_nothing_else(text):
    plain = terminal(text).plain
    for around in ("- **a**: {}", "- **a**: {}: b", "- a {}(b)", "- a {}[b]"):
        page = Page(READER.render(around.format(markdown(text)) + "\n"))
        allowed = {"ul", "li", "strong", "code"}
        assert set(page.tags) <= allowed
        assert page.tags.count("li") == 1
        assert folded(page.text) == folded(Page(READER.render(around)).text.replace("{}", plain))


@settings(max_examples=60, deadline=None)
@given(texts, texts)
def test_a_cell_of_a_table_stays_in_its_cell(left, right):
    inner = [markdown(each).replace("|", r"\|") for each in (left, right)]
    row = f"| {inner[0]} | {inner[1]} |"
    page = Page(READER.render(f"| a | b |\n| --- | --- |\n{row}\n"))
    assert page.tags.count("td") == 2
    assert page.tags.count("tr") == 2
    assert set(page.tags) <= {"table", "thead", "tbody", "tr", "th", "td", "code"}
    cells = folded(f"{terminal(left).plain} {terminal(right).plain}")
    assert folded(page.text.replace("\n", " ")) == folded(f"a b {cells}")


@settings(max_examples=60, deadline=None)
@given(texts)
def test_the_terminal_shows_the_text_and_obeys_none_of_it(text):
    table = Table("cell")
    table.add_row(terminal(text))
    console = Console(width=2000, file=io.StringIO(), force_terminal=True)
    console.print(table)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())
    assert unseen(shown.replace("\n", "")) == []
    assert len(shown.splitlines()) == 5
    assert folded(terminal(text).plain) in folded(shown)


@settings(max_examples=60, deadline=None)
@given(texts)
def test_a_browser_shows_the_text(text):
    page = Page(f'<p title="{html(text)}">{html(text)}</p>')
    assert page.tags == ["p"]
    assert unseen(page.text.replace("\n", "").replace("\t", "")) == []
    assert standard.unescape(html("a\nb")) == "a\nb"


@pytest.mark.parametrize(
    "text",
    ["After `The Louvre is in`, Paris.", "D* = m / ||W||^2, D* stays", "a.b_c < d.e_f", "> 0", "<= 0.5 (slack 0.1)",
     "1 ± 0.5", "2.25 [2.125, 2.375] (n=64)", "[too] small", "Paris & Rome", "नहीं क्‍या", "100 %!"],
)  # fmt: skip
def test_what_markdown_takes_for_text_anyway_is_left_alone(text):
    assert markdown(text).replace("&#33;", "!") == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\u202eb", "a\\u202eb"), ("a\r\n\r\n# b", "a # b"), ("\U000e0041", "\\U000e0041"), ("\ud83d", "\\ud83d")],
)
def test_what_cannot_be_seen_is_spelled_out(text, shown):
    assert terminal(text).plain == markdown(text) == shown


def test_joiners_stay():
    persian, family = "می\u200cخواهم", "👩\u200d👧"
    assert [terminal(each).plain for each in (persian, family)] == [persian, family]
