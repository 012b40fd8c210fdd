"""The verdict table as a CSV, as a page of markdown and as a summary for the terminal."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from replications.claims.compare import as_text
from replications.claims.ledger import COLUMNS, VerdictRow, all_claims, verdicts
from replications.claims.schema import OWN_LANGUAGE, PRINTED, WEIGHTLESS, Claim, Verdict
from replications.files import write_csv, write_text
from replications.report.benchmarks import write_benchmarks
from replications.report.escape import markdown, terminal
from replications.report.forest import forest, panels, with_control_intervals
from replications.report.headlines import write_headlines
from replications.report.tables import table
from replications.settings import ROOT

if TYPE_CHECKING:
    from rich.table import Table

VERDICTS: tuple[str, ...] = get_args(Verdict)
SYMBOL = dict(zip(VERDICTS, "✔✘○✓✗~?", strict=True))
COLOUR = dict(zip(VERDICTS, ("green", "red", "dim", "green", "red", "yellow", "magenta"), strict=True))
MEANING = {
    "reproduced": "on the model the paper is about, the measured value meets the published one",
    "not reproduced": "on the model the paper is about, it does not",
    "not re-run here": "there is no evidence for the model the paper is about",
    "holds": "on another model or language, the whole 95 % interval meets the claim's scale-free form",
    "fails": "on another model or language, none of the interval does",
    "inconclusive": "the interval straddles the criterion, or the control (random weights or circuits) meets it too",
    "not measurable": "the evidence of the run cannot answer it: the quantity is not there, or the file is damaged",
}


def write_report(root: Path = ROOT) -> list[VerdictRow]:
    """Judge everything, write the verdict table, forests, headlines and both pages; returns the verdict table.

    A damaged reports/benchmarks.json is refused after all else is written.
    """
    rows, claims = verdicts(root), all_claims(root)
    write_csv(root / "reports" / "verdicts.csv", rows, COLUMNS)
    for room, listed in claims.items():
        if asked := panels(listed, rows):
            asked = with_control_intervals(asked, root / "reports" / room)
            forest(root / "reports" / f"forest_{room}.svg", room, asked)
    write_headlines(root)
    write_text(root / "reports" / "scoreboard.md", scoreboard(rows, claims))
    write_benchmarks(root)
    return rows


def scoreboard(rows: list[VerdictRow], claims: dict[str, list[Claim]]) -> str:
    """The page: counts, legend, a picture and a table per replication, findings with reasons, what was not re-run."""
    parts = ["# Scoreboard", _counts(rows), "## Legend", _legend()]
    for room, listed in sorted(claims.items(), key=_printed_last):
        drawn = f"![Claims of {markdown(room)} across models and languages](forest_{room}.svg)"
        picture = [drawn] if panels(listed, rows) else []
        inside = [row for row in rows if row["replication"] == room]
        parts += [f"## {markdown(room)}", *picture, _room_table(listed, inside)]
    parts += ["## Findings", _findings(rows), "## Not re-run here", _not_rerun(rows)]
    return "\n\n".join(parts) + "\n"


def summary(rows: list[VerdictRow]) -> "Table":
    """How many verdicts of each kind per replication, for the terminal."""
    from rich.table import Table

    counts = Table("replication", *VERDICTS, "not asserted")
    for room in dict.fromkeys(row["replication"] for row in rows):
        inside = [row for row in rows if row["replication"] == room]
        numbers = [sum(row["verdict"] == verdict for row in inside) for verdict in VERDICTS]
        counts.add_row(terminal(room), *map(str, numbers), str(sum(not row["asserted"] for row in inside)))
    return counts


def verdict_rows(rows: list[VerdictRow], claims: dict[str, list[Claim]]) -> "Table":
    """Every verdict with what was asked and what was measured, for the terminal."""
    from rich.table import Table
    from rich.text import Text

    by_id = {claim.id: claim for listed in claims.values() for claim in listed}
    lines = Table("claim", "model", "language", "verdict", "asked", "measured", "n", "reason")
    for row in rows:
        name = row["verdict"]
        verdict = Text(f"{SYMBOL[name]} {name}", style=COLOUR[name])
        count = "" if _is_blank(row["n"]) else row["n"]
        claim = by_id[row["claim"]]
        asked = as_text(claim.form(row["model"], row["language"]) or claim)
        place = map(terminal, (row["claim"], row["model"], row["language"]))
        lines.add_row(*place, verdict, *map(terminal, (asked, _measured(row), count, row["reason"])))
    return lines


def _printed_last(room: tuple[str, list[Claim]]) -> bool:
    """Sort key: what was measured on models comes before what was recomputed from tables."""
    return all(claim.model == PRINTED for claim in room[1])


def _counts(rows: list[VerdictRow]) -> str:
    """Verdicts by replication; a claim known from memory only is counted apart."""
    names = dict.fromkeys(row["replication"] for row in rows)
    body = []
    for room in names:
        inside = [row for row in rows if row["replication"] == room]
        asserted = [row["verdict"] for row in inside if row["asserted"]]
        body.append([markdown(room), *(asserted.count(verdict) for verdict in VERDICTS), len(inside) - len(asserted)])
    return table(["replication", *(f"{SYMBOL[name]} {name}" for name in VERDICTS), "not asserted"], body)


def _legend() -> str:
    lines = [f"- {SYMBOL[name]} **{name}**: {meaning}" for name, meaning in MEANING.items()]
    lines += [
        "- †: not what the paper would lead one to expect; the reason is under Findings",
        "- (memory): the published value was not seen in its source, so the claim is never asserted",
        "- Numbers in brackets are 95 % intervals, for printed tables what the rounding of their entries allows",
        "- n is the number of pairs, prompts or table entries behind a value",
    ]
    return "\n".join(lines)


def _room_table(claims: list[Claim], rows: list[VerdictRow]) -> str:
    """Claims down, measured runs across; the claim's own model has a column of its own."""
    cells = {(row["claim"], row["model"], row["language"]): row for row in rows}
    own = {(claim.id, claim.model, OWN_LANGUAGE) for claim in claims}
    places = sorted({key[1:] for key in cells if key not in own})
    header = ["claim", "published", "on its own model", *(["asked elsewhere"] if places else [])]
    body = [_claim_line(claim, places, cells) for claim in claims]
    return table([*header, *(markdown("/".join(place)) for place in places)], body)


def _claim_line(claim: Claim, places: list[tuple], cells: dict[tuple, VerdictRow]) -> list[str]:
    mark = "" if claim.asserted else " (memory)"
    about = "" if claim.model in WEIGHTLESS else f" ({claim.model})"
    published = f"{as_text(claim)} {claim.unit}".strip() + about
    line = [f"**{markdown(claim.id)}**{mark}: {markdown(claim.statement)}", markdown(published)]
    line.append(_cell(cells.get((claim.id, claim.model, OWN_LANGUAGE))))
    if places:
        line.append(markdown(as_text(claim.general)) if claim.general else "")
        line += [_cell(None if claim.is_own(*place) else cells.get((claim.id, *place))) for place in places]
    return line


def _cell(row: VerdictRow | None) -> str:
    """Symbol, verdict, measured value with interval, n; empty where the claim is not asked."""
    if row is None:
        return ""
    mark = " †" if _is_finding(row) else ""
    count = "" if _is_blank(row["n"]) else f" (n={row['n']})"
    measured = markdown(row["measured"]) if isinstance(row["measured"], str) else _measured(row)
    return f"{SYMBOL[row['verdict']]} {row['verdict']}{mark} {measured}{count}".rstrip()


def _measured(row: VerdictRow) -> str:
    """The measured value with its interval, at four significant digits; empty when nothing was measured."""
    if _is_blank(row["measured"]):
        return ""
    if _is_blank(row["ci_low"]):
        return _number(row["measured"])
    return f"{_number(row['measured'])} [{_number(row['ci_low'])}, {_number(row['ci_high'])}]"


def _is_finding(row: VerdictRow) -> bool:
    """A verdict other than the one a reader would expect."""
    return row["verdict"] in ("not reproduced", "fails", "inconclusive", "not measurable")


def _findings(rows: list[VerdictRow]) -> str:
    return _bullets(
        f"**{markdown(row['claim'])}** on {markdown(row['model'] + '/' + row['language'])}: {row['verdict']}: "
        + markdown(row["reason"] or "no reason is recorded")
        for row in rows
        if _is_finding(row)
    )


def _not_rerun(rows: list[VerdictRow]) -> str:
    """One line per replication and model: how many claims wait for it, why, and the command to run them."""
    waiting: dict[tuple, list[VerdictRow]] = {}
    for row in rows:
        if row["verdict"] == "not re-run here":
            waiting.setdefault((row["replication"], row["model"], row["language"]), []).append(row)
    return _bullets(
        f"{markdown(f'{room} on {model}')}: {len(found)} {'claim' if len(found) == 1 else 'claims'}, "
        + markdown(found[0]["reason"].replace("; run `", ": `"))
        for (room, model, _), found in waiting.items()
    )


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines) or "None."


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def _is_blank(value: object) -> bool:
    return value is None or value != value
