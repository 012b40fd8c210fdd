"""The published claims, one by one, against the committed evidence; nothing is measured here."""

from functools import cache

import pytest

from replications.claims.compare import as_text
from replications.claims.evidence import read_evidence
from replications.claims.findings import findings_files
from replications.claims.ledger import COLUMNS, all_claims, all_findings, expected, verdicts
from replications.claims.lint import misnamed
from replications.claims.offers import absence
from replications.files import write_csv
from replications.record import differing
from replications.report.agreement import changed_files
from replications.report.scoreboard import scoreboard
from replications.settings import REPORTS, ROOT

ROOMS = all_claims()
CLAIMS = {claim.id: claim for listed in ROOMS.values() for claim in listed}
FINDINGS = all_findings()
ROWS = verdicts()
ASSERTED = [row for row in ROWS if row["asserted"]]


def account(row: dict) -> str:
    """Everything a reader needs to see why a verdict is not the recorded one."""
    claim = CLAIMS[row["claim"]]
    form = claim.form(row["model"], row["language"])
    recorded = expected(claim, row["model"], row["language"], FINDINGS)
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
    assert ASSERTED, "no claim with evidence or without: data/claims is empty or not found"
    assert any(row["verdict"] != "not re-run here" for row in ASSERTED), "no claim has any evidence under reports/"


@pytest.mark.parametrize("row", ASSERTED, ids=lambda row: f"{row['claim']}-{row['model']}-{row['language']}")
def test_the_verdict_is_the_recorded_one(row):
    evidence = REPORTS / row["replication"] / row["model"] / row["language"] / "metrics.json"
    if evidence.is_file():
        assert row["verdict"] == expected(CLAIMS[row["claim"]], row["model"], row["language"], FINDINGS), account(row)
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
    assert {row["claim"] for row in ROWS} == CLAIMS.keys()
    assert FINDINGS.keys() <= rows, f"findings about runs without evidence: {sorted(FINDINGS.keys() - rows)}"


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
    fresh = write_csv(tmp_path / "verdicts.csv", ROWS, COLUMNS).read_text(encoding="utf-8")
    for name, text in {"verdicts.csv": fresh, "scoreboard.md": scoreboard(ROWS, ROOMS)}.items():
        file = REPORTS / name
        committed = file.read_text(encoding="utf-8") if file.is_file() else ""
        assert committed == text, f"{file} is out of date: run `replicate report`"
