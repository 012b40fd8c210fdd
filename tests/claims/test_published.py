"""The published claims, one by one, against the committed evidence; nothing is measured here."""

from functools import cache

import pytest

from replications.claims.compare import as_text
from replications.claims.evidence import read_evidence
from replications.claims.findings import findings_files
from replications.claims.ledger import COLUMNS, all_claims, all_findings, expected, rooms, verdicts
from replications.claims.lint import misnamed
from replications.claims.offers import absence
from replications.files import write_csv
from replications.record import differing
from replications.report.agreement import changed_files
from replications.report.scoreboard import scoreboard
from replications.settings import REPORTS, ROOT


@cache
def table():
    """Every row of the verdict table, made by the first test that asks: not by every process that collects."""
    return verdicts()


@cache
def claims():
    """Claims by id."""
    return {claim.id: claim for listed in all_claims().values() for claim in listed}


@cache
def findings():
    """Verdicts on record."""
    return all_findings()


def account(row: dict) -> str:
    """Everything a reader needs to see why a verdict is not the recorded one."""
    claim = claims()[row["claim"]]
    form = claim.form(row["model"], row["language"])
    recorded = expected(claim, row["model"], row["language"], findings())
    return (
        f"\n{claim.id} on {row['model']}/{row['language']}: {claim.statement}"
        f"\n  published  {as_text(claim)} {claim.unit} ({claim.model}); {claim.paper}, {claim.where}"
        f"\n  asked      {as_text(form)} of {', '.join(form.quantities)}"
        f"\n  measured   {row['measured']}, 95 % interval [{row['ci_low']}, {row['ci_high']}], n = {row['n']}"
        f"\n  control    {row['control']}"
        f"\n  tolerance  {form.tolerance}: {form.tolerance_reason}"
        f"\n  source     {claim.provenance.source_kind}, {claim.provenance.seen_at}"
        f"\n  recorded   {recorded}"
        f"\n  computed   {row['verdict']}. {row['reason']}"
    )


def test_there_is_something_to_assert():
    asserted = [row for row in table() if row["asserted"]]
    assert asserted, "no claim with evidence or without: data/claims is empty or not found"
    assert {row["replication"] for row in asserted} == set(rooms()), "a replication without a claim that is asserted"
    assert any(row["verdict"] != "not re-run here" for row in asserted), "no claim has any evidence under reports/"


def as_recorded(row: dict) -> bool:
    """Whether a verdict is the recorded one or, where there is no evidence, says so and why."""
    evidence = REPORTS / row["replication"] / row["model"] / row["language"] / "metrics.json"
    if evidence.is_file():
        return row["verdict"] == expected(claims()[row["claim"]], row["model"], row["language"], findings())
    return row["verdict"] == "not re-run here" and row["reason"] == absence(row["replication"], row["model"])


@pytest.mark.parametrize("room", rooms())
def test_every_verdict_is_the_recorded_one(room):
    listed = [row for row in table() if row["replication"] == room and row["asserted"]]
    others = [account(row) for row in listed if not as_recorded(row)]
    assert listed
    assert not others, f"{len(others)} of {len(listed)} verdicts:" + "".join(others)


def test_every_claim_asks_for_something_that_is_measured():
    assert misnamed() == []


@pytest.mark.parametrize(
    "file", sorted(REPORTS.glob("*/*/*/metrics.json")), ids=lambda file: "-".join(file.parts[-4:-1])
)
def test_evidence_is_without_a_flaw(file):
    assert read_evidence(file).measured


def test_what_is_known_from_memory_is_listed_and_not_asserted():
    memory = {claim.id for claim in claims().values() if claim.confidence == "memory"}
    assert {row["claim"] for row in table() if not row["asserted"]} == memory


def test_every_claim_and_every_finding_has_its_row():
    rows = {(row["claim"], row["model"], row["language"]) for row in table()}
    assert {row["claim"] for row in table()} == claims().keys()
    assert findings().keys() <= rows, f"findings about runs without evidence: {sorted(findings().keys() - rows)}"


@pytest.mark.parametrize("model", [file.stem for file in findings_files(ROOT)])
def test_what_is_recorded_is_what_the_evidence_says(model):
    """To the digit, where the evidence is the committed one: `make repro` says how far another run is from that."""
    changes = [change for change in differing(model, ROOT) if not remade(change.key[0], model)]
    told = "\n".join(map(str, changes))
    assert not changes, f"`replicate record --model {model}` and a look at the reasons would make these right:\n{told}"


@cache
def remade(room, model):
    return changed_files(ROOT, f"reports/{room}/{model}") > 0


def test_the_committed_table_and_page_are_what_the_evidence_gives(tmp_path):
    fresh = write_csv(tmp_path / "verdicts.csv", table(), COLUMNS).read_text(encoding="utf-8")
    for name, text in {"verdicts.csv": fresh, "scoreboard.md": scoreboard(table(), all_claims())}.items():
        file = REPORTS / name
        committed = file.read_text(encoding="utf-8") if file.is_file() else ""
        assert committed == text, f"{file} is out of date: run `replicate report`"
