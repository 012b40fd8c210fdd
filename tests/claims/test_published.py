"""The published claims, one by one, against the committed evidence; nothing is measured here."""

import pytest

from replications.claims.compare import as_text
from replications.claims.evidence import read_evidence
from replications.claims.ledger import COLUMNS, all_claims, expected, verdicts
from replications.claims.lint import misnamed
from replications.claims.offers import absence
from replications.files import write_csv
from replications.report.scoreboard import scoreboard
from replications.settings import REPORTS

ROOMS = all_claims()
CLAIMS = {claim.id: claim for listed in ROOMS.values() for claim in listed}
ROWS = verdicts()
ASSERTED = [row for row in ROWS if row["asserted"]]


def account(row: dict) -> str:
    """Everything a reader needs to see why a verdict is not the recorded one."""
    claim = CLAIMS[row["claim"]]
    form = claim.form(row["model"], row["language"])
    recorded = expected(claim, row["model"], row["language"])
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
    assert ASSERTED, "no claim with evidence or without: replications/*/claims.yaml is empty or not found"
    assert any(row["verdict"] != "not re-run here" for row in ASSERTED), "no claim has any evidence under reports/"


@pytest.mark.parametrize("row", ASSERTED, ids=lambda row: f"{row['claim']}-{row['model']}-{row['language']}")
def test_the_verdict_is_the_recorded_one(row):
    evidence = REPORTS / row["replication"] / row["model"] / row["language"] / "metrics.json"
    if evidence.is_file():
        assert row["verdict"] == expected(CLAIMS[row["claim"]], row["model"], row["language"]), account(row)
    else:
        assert row["verdict"] == "not re-run here", account(row)
        assert row["reason"] == absence(row["replication"], row["model"]), account(row)


def test_every_claim_asks_for_something_that_is_measured():
    assert misnamed() == []


@pytest.mark.parametrize(
    "file", sorted(REPORTS.glob("*/*/*/metrics.json")), ids=lambda file: "-".join(file.parts[-4:-1])
)
def test_evidence_is_without_a_flaw(file):
    assert read_evidence(file).measured


def test_what_is_known_from_memory_is_listed_and_not_asserted():
    memory = {claim.id for claim in CLAIMS.values() if claim.confidence == "memory"}
    assert {row["claim"] for row in ROWS if not row["asserted"]} == memory


def test_every_claim_and_every_finding_has_its_row():
    rows = {(row["claim"], row["model"], row["language"]) for row in ROWS}
    findings = {(claim.id, each.model, each.language) for claim in CLAIMS.values() for each in claim.findings}
    assert {row["claim"] for row in ROWS} == CLAIMS.keys()
    assert findings <= rows, f"findings about runs without evidence: {sorted(findings - rows)}"


def test_the_committed_table_and_page_are_what_the_evidence_gives(tmp_path):
    fresh = write_csv(tmp_path / "verdicts.csv", ROWS, COLUMNS).read_text(encoding="utf-8")
    for name, text in {"verdicts.csv": fresh, "scoreboard.md": scoreboard(ROWS, ROOMS)}.items():
        file = REPORTS / name
        committed = file.read_text(encoding="utf-8") if file.is_file() else ""
        assert committed == text, f"{file} is out of date: run `replicate report`"
