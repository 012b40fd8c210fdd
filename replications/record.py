"""Writing down what the evidence says of a model: `replicate record`. Reasons that a person wrote are kept."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from replications import files
from replications.claims.findings import DEPARTURES, Finding, Recorded, as_yaml, each, findings_file, read_findings
from replications.claims.ledger import VerdictRow, verdicts
from replications.report.escape import terminal


@dataclass(frozen=True)
class Change:
    """An entry before and after, None where there is none, and the verdict and reason that the evidence gives now."""

    key: tuple[str, str, str]  # room, claim, language
    before: Finding | None
    after: Finding | None
    verdict: str
    reason: str

    def __str__(self) -> str:
        was = self.before.verdict if self.before else "as expected"
        became = f"still {self.verdict}, by other numbers" if was == self.verdict else f"{was} became {self.verdict}"
        return f"{' '.join(self.key)}: {became}" + (f": {self.reason}" if self.after and self.reason else "")

    @property
    def lost(self) -> str:
        """What is to be said of a person's reason that does not stay; empty when none is lost."""
        written = self.before.reason if self.before else None
        if written is None or (self.after and self.after.reason == written):
            return ""
        instead = f"; proposed in its place: {self.reason}" if self.after else ""
        told = "its reason is about a verdict that no longer stands, and goes"
        return f"{' '.join(self.key)}: {told}: {written}{instead}"


def record(model: str, room: str | None, root: Path) -> None:
    """Write a model's findings from the evidence, of one room or of all, and print what has changed."""
    file, rows = findings_file(model, root), _rows(model, root)
    before = _before(file)
    after = renewed(before, rows, room)
    listed = list(_changes(before, after, rows))
    for change in listed:
        print(terminal(change).plain)
        if change.lost:
            print(terminal(change.lost).plain, file=sys.stderr)
    if after:
        files.write_text(file, as_yaml(model, after))
    else:
        file.unlink(missing_ok=True)
    print(f"{file}: {len(list(each(after)))} findings, {len(listed) or 'none'} changed")


def differing(model: str, root: Path) -> list[Change]:
    """What `record` would change in a model's findings."""
    before, rows = _before(findings_file(model, root)), _rows(model, root)
    return list(_changes(before, renewed(before, rows, None), rows))


def renewed(before: Recorded, rows: list[VerdictRow], room: str | None) -> Recorded:
    """The findings that a model's rows make: rooms alphabetically, claims as the rows have them, then languages.

    Other rooms than `room` stay as they were; all are made anew if it is None.
    """
    after = {}
    for name in sorted({*before, *(row["replication"] for row in rows)}):
        mine = [row for row in rows if row["replication"] == name]
        some = _of_room(before.get(name, {}), mine) if room in (None, name) else before.get(name, {})
        if some:
            after[name] = some
    return after


def _of_room(before: Mapping[str, Mapping[str, Finding]], rows: list[VerdictRow]) -> dict[str, dict[str, Finding]]:
    made: dict[str, dict[str, Finding]] = {}
    for claim in dict.fromkeys(row["claim"] for row in rows):
        mine = sorted((row for row in rows if row["claim"] == claim), key=lambda row: row["language"])
        found = {row["language"]: _finding(row, before.get(claim, {}).get(row["language"])) for row in mine}
        if some := {language: finding for language, finding in found.items() if finding}:
            made[claim] = some
    return made


def _finding(row: VerdictRow, was: Finding | None) -> Finding | None:
    """What is to be recorded of a row; None where it is as expected. Without evidence the record stays as it was."""
    if row["verdict"] == "not re-run here":
        return was
    if row["verdict"] not in DEPARTURES:
        return None
    interval = None if row["ci_low"] is None else (row["ci_low"], row["ci_high"])
    numbers = {name: None if row[name] != row[name] else row[name] for name in ("measured", "control", "n")}
    reason = was.reason if was and was.verdict == row["verdict"] else None
    return Finding(verdict=row["verdict"], interval=interval, reason=reason, **numbers)


def _changes(before: Recorded, after: Recorded, rows: list[VerdictRow]) -> Iterator[Change]:
    old, new = dict(each(before)), dict(each(after))
    now = {(row["replication"], row["claim"], row["language"]): row for row in rows}
    for key in dict.fromkeys([*new, *old]):
        if old.get(key) != new.get(key):
            row = now.get(key, {"verdict": "no row of the table", "reason": ""})
            yield Change(key, old.get(key), new.get(key), row["verdict"], row["reason"])


def _before(file: Path) -> Recorded:
    return read_findings(file) if file.is_file() else {}


def _rows(model: str, root: Path) -> list[VerdictRow]:
    """The model's rows, with the reasons that their numbers make."""
    return [row for row in verdicts(root, {}) if row["model"] == model]
