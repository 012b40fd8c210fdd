"""The page and the CSV say what the verdict table says, in an order that does not depend on the machine."""

import csv
import io

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from replications.claims.ledger import COLUMNS, all_claims, verdicts
from replications.report.scoreboard import SYMBOL, scoreboard, summary, verdict_rows, write_report

SMALL, OTHER = "smollm2-135m", "gemma-3-270m"
POSITIVE = {"quantity": "pairs.gain", "comparison": "sign", "published": "+"}


@pytest.fixture
def page(checkout, block, estimate):
    """A checkout with a reproduced claim, a finding, a claim from memory and one whose model is not here."""
    memory = {"provenance": {"source_kind": "memory", "seen_at": ""}, "confidence": "memory"}
    checkout.room(
        "rome",
        block(model=OTHER, general=POSITIVE),
        block(id="paper2022.recalled", model=OTHER, **memory),
        block(id="paper2022.xl", model="gpt2-xl", quantity="pairs.gain"),
        block(id="paper2022.xl_too", model="gpt2-xl"),
    )
    checkout.finding("rome", SMALL, "en", "fails", reason="[too] small | shallow")
    checkout.room("audit", block(id="paper2022.sum", model="printed", quantity="table.sum", unit="%"))
    checkout.evidence("audit", "printed", "en", {"table": {"sum": estimate(2.0)}})
    checkout.evidence("rome", OTHER, "en", {"pairs": {"gain": estimate(2.25, 2.125, 2.375)}})
    checkout.evidence("rome", SMALL, "en", {"pairs": {"gain": estimate(-1.0, -2.0, -0.5)}})
    return checkout


def text(page):
    return scoreboard(verdicts(page.root), all_claims(page.root))


def line(page, start):
    (found,) = [line for line in text(page).splitlines() if line.startswith(start)]
    return found


def test_measured_stands_beside_published(page):
    cells = line(page, "| **paper2022.gain**").split(" | ")
    assert cells == [
        "| **paper2022.gain**: The gain is two.",
        f"2.0 ± 0.5 nats ({OTHER})",
        "✔ reproduced 2.25 [2.125, 2.375] (n=64)",
        "> 0",
        "✗ fails † -1 [-2, -0.5] (n=64) |",
    ]


def test_every_row_of_a_table_has_as_many_cells_as_its_header(page):
    tables = [part.splitlines() for part in text(page).split("\n\n") if part.startswith("|")]
    assert len(tables) == 3
    for lines in tables:
        assert len({each.replace(r"\|", "").count("|") for each in lines}) == 1


def test_a_room_that_is_never_asked_elsewhere_has_no_column_for_it(page):
    assert "asked elsewhere" not in text(page).split("## audit")[1].split("##")[0]


def test_printed_tables_come_last(page):
    assert text(page).index("## rome") < text(page).index("## audit")


def test_counts_leave_out_what_is_not_asserted(page):
    assert line(page, "| rome |") == "| rome | 1 | 0 | 2 | 0 | 1 | 0 | 0 | 1 |"
    assert line(page, "| audit |") == "| audit | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 0 |"
    assert "**paper2022.recalled** (memory)" in text(page)


def test_findings_come_with_their_reason(page):
    assert f"- **paper2022.gain** on {SMALL}/en: fails: [too] small | shallow" in text(page)


def test_what_was_not_run_says_why_and_how(page):
    command = "`replicate run rome --model gpt2-xl --language en`"
    reason = "no evidence for gpt2-xl: its weights come from the model hub"
    assert f"- rome on gpt2-xl: 2 claims, {reason}: {command}" in text(page)


def test_every_verdict_is_in_the_legend(page):
    for verdict, symbol in SYMBOL.items():
        assert f"- {symbol} **{verdict}**: " in text(page)


def test_an_empty_checkout_still_makes_a_page(checkout):
    assert text(checkout).count("None.") == 2


def test_the_report_is_written_twice_the_same(page):
    files = [page.root / "reports" / name for name in ("verdicts.csv", "scoreboard.md")]
    write_report(page.root)
    first = [file.read_bytes() for file in files]
    write_report(page.root)
    assert [file.read_bytes() for file in files] == first


def test_the_csv_holds_the_table(page):
    write_report(page.root)
    with open(page.root / "reports" / "verdicts.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == COLUMNS
    assert [row["verdict"] for row in rows] == [row["verdict"] for row in verdicts(page.root)]
    away = next(row for row in rows if row["claim"] == "paper2022.xl")
    assert (away["measured"], away["n"], away["asserted"]) == ("", "", "True")


def shown(table):
    console = Console(width=250, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def test_the_terminal_shows_the_same(page):
    table = verdicts(page.root)
    rows = shown(verdict_rows(table, all_claims(page.root)))
    assert "[too] small" in rows
    assert "2.25 [2.125, 2.375]" in rows
    assert "> 0" in rows
    (rome,) = [line for line in shown(summary(table)).splitlines() if "rome" in line]
    assert [cell.strip() for cell in rome.strip("│").split("│")] == [
        "rome",
        "2",
        "0",
        "2",
        "0",
        "1",
        "0",
        "0",
        "1",
    ]


HOSTILE = "x <script>alert(1)</script> ![a](http://x.example/y.png)\r\n\n# Verdict \u202e [/] | `a \\"


@pytest.fixture
def hostile(checkout, block, estimate):
    """A checkout whose claims, findings and evidence would all like to be more than text."""
    label = {"comparison": "argmax", "tolerance": None, "tolerance_reason": None}
    general = {"quantity": "top", "comparison": "argmax", "published": HOSTILE}
    checkout.room(
        "rome",
        block(id="a.here", model=SMALL, statement=HOSTILE, unit=HOSTILE),
        block(id="a.label", quantity="top", published=HOSTILE, **label, general=general),
        block(id="a.away", model=HOSTILE),
        block(id="a.named", model=SMALL, quantity=HOSTILE.replace(".", "")),
    )
    checkout.finding("rome", SMALL, "en", "fails", claim="a.label", reason=HOSTILE)
    checkout.evidence("rome", SMALL, "en", {"pairs": {"gain": estimate(2.0)}, "top": estimate(HOSTILE + "!")})
    return checkout


def test_nothing_that_others_wrote_is_more_than_text_on_the_page(hostile):
    page = text(hostile)
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(page)
    assert "<script" not in html
    assert "<img" not in html
    assert not {"\r", "\u202e"} & set(page)
    headings = [line for line in page.splitlines() if line.startswith("#")]
    assert headings == ["# Scoreboard", "## Legend", "## rome", "## Findings", "## Not re-run here"]
    rows = [line for line in page.split("## rome")[1].splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 4
    assert html.count("<td>") == 9 + 4 * 5
    assert html.count("alert(1)") == page.count("alert(1)") >= 9


def test_nothing_that_others_wrote_is_more_than_text_on_the_terminal(hostile):
    rows = shown(verdict_rows(verdicts(hostile.root), all_claims(hostile.root)))
    assert not {"\r", "\u202e"} & set(rows)
    assert "[/]" in rows
    assert "\\u202e" in rows.replace(" ", "")
