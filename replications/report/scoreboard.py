"""The verdict table as a CSV, as a page of markdown and as a summary for the terminal."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from replications.claims.compare import as_text
from replications.claims.evidence import run_command
from replications.claims.ledger import COLUMNS, all_claims, verdicts
from replications.claims.schema import OWN_LANGUAGE, PRINTED, WEIGHTLESS, Claim, Verdict
from replications.files import write_csv, write_text
from replications.report.forest import forest, panels, with_control_intervals
from replications.report.headlines import write_headlines
from replications.settings import ROOT

if TYPE_CHECKING:
    import pandas
    from rich.table import Table

VERDICTS: tuple[str, ...] = get_args(Verdict)
SYMBOL = dict(zip(VERDICTS, "✔✘○✓✗~", strict=True))
COLOUR = dict(zip(VERDICTS, ("green", "red", "dim", "green", "red", "yellow"), strict=True))
MEANING = {
    "reproduced": "on the model the paper is about, the measured value meets the published one",
    "not reproduced": "on the model the paper is about, it does not",
    "not re-run here": "there is no evidence for the model the paper is about",
    "holds": "on another model or language, the whole 95 % interval meets the claim's scale-free form",
    "fails": "on another model or language, none of the interval does",
    "inconclusive": "the interval straddles the criterion, or the control (random weights or circuits) meets it too",
}


def write_report(root: Path = ROOT) -> "pandas.DataFrame":
    """Judge everything, write the verdict table, forests, headlines and scoreboard.md; returns the verdict table."""
    table, claims = verdicts(root), all_claims(root)
    write_csv(root / "reports" / "verdicts.csv", table, COLUMNS)
    for room, listed in claims.items():
        if asked := panels(listed, table.to_dict("records")):
            asked = with_control_intervals(asked, root / "reports" / room)
            forest(root / "reports" / f"forest_{room}.svg", room, asked)
    write_headlines(root / "reports")
    write_text(root / "reports" / "scoreboard.md", scoreboard(table, claims))
    return table


def scoreboard(table: "pandas.DataFrame", claims: dict[str, list[Claim]]) -> str:
    """The page: counts, legend, a picture and a table per replication, findings with reasons, what was not re-run."""
    rows = table.to_dict("records")
    parts = ["# Scoreboard", _counts(rows), "## Legend", _legend()]
    for room, listed in sorted(claims.items(), key=_printed_last):
        picture = (
            [f"![Claims of {room} across models and languages](forest_{room}.svg)"] if panels(listed, rows) else []
        )
        parts += [f"## {room}", *picture, _room_table(listed, [row for row in rows if row["replication"] == room])]
    parts += ["## Findings", _findings(rows), "## Not re-run here", _not_rerun(rows)]
    return "\n\n".join(parts) + "\n"


def summary(table: "pandas.DataFrame") -> "Table":
    """How many verdicts of each kind per replication, for the terminal."""
    from rich.table import Table

    counts = Table("replication", *VERDICTS, "not asserted")
    for room, rows in table.groupby("replication"):
        numbers = [str((rows["verdict"] == verdict).sum()) for verdict in VERDICTS]
        counts.add_row(room, *numbers, str((~rows["asserted"]).sum()))
    return counts


def verdict_rows(table: "pandas.DataFrame", claims: dict[str, list[Claim]]) -> "Table":
    """Every verdict with what was asked and what was measured, for the terminal."""
    from rich.markup import escape
    from rich.table import Table

    by_id = {claim.id: claim for listed in claims.values() for claim in listed}
    lines = Table("claim", "model", "language", "verdict", "asked", "measured", "n", "reason")
    for row in table.to_dict("records"):
        name = row["verdict"]
        verdict = f"[{COLOUR[name]}]{SYMBOL[name]} {name}[/]"
        count = "" if _is_blank(row["n"]) else str(row["n"])
        asked = as_text(by_id[row["claim"]].form(row["model"], row["language"]))
        numbers = (asked, _measured(row), count, escape(row["reason"]))
        lines.add_row(row["claim"], row["model"], row["language"], verdict, *numbers)
    return lines


def _printed_last(room: tuple[str, list[Claim]]) -> bool:
    """Sort key: what was measured on models comes before what was recomputed from tables."""
    return all(claim.model == PRINTED for claim in room[1])


def _counts(rows: list[dict]) -> str:
    """Verdicts by replication; a claim known from memory only is counted apart."""
    names = dict.fromkeys(row["replication"] for row in rows)
    body = []
    for room in names:
        inside = [row for row in rows if row["replication"] == room]
        asserted = [row["verdict"] for row in inside if row["asserted"]]
        body.append([room, *(asserted.count(verdict) for verdict in VERDICTS), len(inside) - len(asserted)])
    return _markdown(["replication", *(f"{SYMBOL[name]} {name}" for name in VERDICTS), "not asserted"], body)


def _legend() -> str:
    lines = [f"- {SYMBOL[name]} **{name}**: {meaning}" for name, meaning in MEANING.items()]
    lines += [
        "- †: not what the paper would lead one to expect; the reason is under Findings",
        "- (memory): the published value was not seen in its source, so the claim is never asserted",
        "- Numbers in brackets are 95 % intervals, for printed tables what the rounding of their entries allows",
        "- n is the number of pairs, prompts or table entries behind a value",
    ]
    return "\n".join(lines)


def _room_table(claims: list[Claim], rows: list[dict]) -> str:
    """Claims down, measured runs across; the claim's own model has a column of its own."""
    cells = {(row["claim"], row["model"], row["language"]): row for row in rows}
    own = {(claim.id, claim.model, OWN_LANGUAGE) for claim in claims}
    places = sorted({key[1:] for key in cells if key not in own})
    header = ["claim", "published", "on its own model", *(["asked elsewhere"] if places else [])]
    body = [_claim_line(claim, places, cells) for claim in claims]
    return _markdown([*header, *("/".join(place) for place in places)], body)


def _claim_line(claim: Claim, places: list[tuple], cells: dict[tuple, dict]) -> list[str]:
    mark = "" if claim.asserted else " (memory)"
    about = "" if claim.model in WEIGHTLESS else f" ({claim.model})"
    published = f"{as_text(claim)} {claim.unit}".strip() + about
    line = [f"**{claim.id}**{mark}: {claim.statement}", published]
    line.append(_cell(cells.get((claim.id, claim.model, OWN_LANGUAGE))))
    if places:
        line.append(as_text(claim.general) if claim.general else "")
        line += [_cell(None if claim.is_own(*place) else cells.get((claim.id, *place))) for place in places]
    return line


def _cell(row: dict | None) -> str:
    """Symbol, verdict, measured value with interval, n; empty where the claim is not asked."""
    if row is None:
        return ""
    mark = " †" if _is_finding(row) else ""
    count = "" if _is_blank(row["n"]) else f" (n={row['n']})"
    return f"{SYMBOL[row['verdict']]} {row['verdict']}{mark} {_measured(row)}{count}".rstrip()


def _measured(row: dict) -> str:
    """The measured value with its interval, at four significant digits; empty when nothing was measured."""
    if _is_blank(row["measured"]):
        return ""
    if _is_blank(row["ci_low"]):
        return _number(row["measured"])
    return f"{_number(row['measured'])} [{_number(row['ci_low'])}, {_number(row['ci_high'])}]"


def _is_finding(row: dict) -> bool:
    """A verdict other than the one a reader would expect."""
    return row["verdict"] in ("not reproduced", "fails", "inconclusive")


def _findings(rows: list[dict]) -> str:
    return _bullets(
        f"**{row['claim']}** on {row['model']}/{row['language']}: {row['verdict']}: "
        + (row["reason"] or "no reason is recorded")
        for row in rows
        if _is_finding(row)
    )


def _not_rerun(rows: list[dict]) -> str:
    """One line per replication and model: how many claims wait for it, why, and the command to run them."""
    waiting: dict[tuple, list[dict]] = {}
    for row in rows:
        if row["verdict"] == "not re-run here":
            waiting.setdefault((row["replication"], row["model"], row["language"]), []).append(row)
    return _bullets(
        f"{place[0]} on {place[1]}: {len(found)} {'claim' if len(found) == 1 else 'claims'}, "
        f"{found[0]['reason'].partition('; run ')[0]}: `{run_command(*place)}`"
        for place, found in waiting.items()
    )


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines) or "None."


def _markdown(header: list[str], body: list[list]) -> str:
    lines = [header, ["---"] * len(header), *body]
    escaped = ([str(cell).replace("|", r"\|").replace("\n", " ") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def _is_blank(value: object) -> bool:
    return value is None or value != value
