"""The audit end to end: evidence in a folder, the same bytes twice, and claims that fit the evidence."""

import csv
import json

import drawn
import pytest

from replications.audit import stage
from replications.audit.tables import checks, read_tables
from replications.claims.compare import judge
from replications.claims.evidence import find, read_evidence
from replications.claims.ledger import load_claims, load_findings
from replications.errors import Refusal
from replications.evidence.run import Run

CLAIMS, FINDINGS = load_claims("audit"), load_findings("audit")
RUN = {"model": "printed", "language": "en", "device": "cpu", "profile": "default"}
FILES = drawn.evidence("recomputed", "residuals")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports") / "audit" / "printed" / "en"
    stage.run(**RUN, out=folder)
    return folder


@pytest.fixture(scope="module")
def measured(out):
    return read_evidence(out / "metrics.json").measured


@pytest.fixture(scope="module")
def by_path():
    return {f"{check.table}.{check.row}": check for check in checks(read_tables())}


def test_two_runs_write_the_same_bytes(out, tmp_path):
    stage.run(**RUN, out=tmp_path)
    assert drawn.files(out) == FILES
    assert all((tmp_path / name).read_bytes() == (out / name).read_bytes() for name in FILES)


def test_metrics_csv_and_provenance_tell_one_story(out):
    tree = json.loads((out / "metrics.json").read_text())["measured"]
    rows = list(csv.DictReader((out / "tables" / "recomputed.csv").read_text().splitlines()))
    assert {(table, row) for table in tree for row in tree[table]} == {(r["table"], r["row"]) for r in rows}
    for row in rows:
        leaf = tree[row["table"]][row["row"]]
        assert (leaf["value"], leaf["ci_low"], leaf["ci_high"]) == tuple(
            float(row[name]) for name in ("recomputed", "low", "high")
        )
    off = [f"{r['table']}.{r['row']}" for r in rows if r["agrees"] == "False"]
    assert json.loads((out / "provenance.json").read_text())["disagreements"] == off


@pytest.mark.parametrize("changes", [{"model": "gpt2"}, {"language": "de"}])
def test_anything_but_printed_tables_is_refused_and_nothing_is_written(tmp_path, changes):
    with pytest.raises(Refusal, match="model should be printed and language en"):
        stage.run(**RUN | changes, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_every_row_has_exactly_one_claim(by_path):
    assert sorted(claim.quantity for claim in CLAIMS) == sorted(by_path)


def test_a_claim_holds_exactly_when_rounding_explains_its_row(measured, by_path):
    for claim in CLAIMS:
        agrees = by_path[claim.quantity].agrees
        outcome = judge(claim, find(measured, claim), whole_interval=False).outcome
        assert (outcome == "holds") == agrees == ((claim.id, "printed", "en") not in FINDINGS), claim.id


def test_a_tolerance_is_the_slack_of_rounding_and_no_more(by_path):
    within = [claim for claim in CLAIMS if claim.comparison == "within"]
    assert within
    for claim in within:
        check = by_path[claim.quantity]
        assert claim.published == check.printed.value, claim.id
        assert check.slack - 1e-9 <= claim.tolerance <= 1.1 * check.slack + 1e-9, claim.id


def test_residuals_separate_what_rounding_explains(out, by_path, tmp_path):
    table = Run(out).tables["residuals"]
    assert len(table) == sum(check.sense == "equals" for check in by_path.values())
    assert (table.loc[table["agrees"], "of_slack"].abs() <= 1 + 1e-6).all()
    assert (table.loc[~table["agrees"], "of_slack"].abs() > 1).all()
    assert drawn.draw("audit", out, tmp_path) == drawn.pictures("residuals")
