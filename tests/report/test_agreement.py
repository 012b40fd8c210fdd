"""How far a run is from the committed evidence: verdicts, shares of intervals, shares of tolerances."""

import subprocess

import pandas as pd
import pytest

from replications.claims.ledger import rooms
from replications.errors import Refusal
from replications.report import agreement
from replications.settings import ROOT

TOLERANCES = agreement.load_tolerances(ROOT)


def row(**fields):
    """A row of verdicts.csv: ioi, .50 with the interval .40 to .60."""
    plain = {"claim": "a.b", "replication": "ioi", "model": "smol", "language": "en", "verdict": "holds",
             "measured": "0.5", "ci_low": 0.4, "ci_high": 0.6}  # fmt: skip
    return plain | fields


def shift(before, after, claims=None):
    (only,) = agreement.shifts(pd.DataFrame([before]), pd.DataFrame([after]), claims or {}, TOLERANCES)
    return only


def test_every_room_states_how_far_it_may_move_and_why():
    assert TOLERANCES.rooms.keys() == set(rooms(ROOT))
    assert all(kind.reason for kind in TOLERANCES.kinds.values())


def test_a_move_is_told_in_widths_of_the_committed_interval():
    moved = shift(row(), row(measured=0.51, ci_low=0.3, ci_high=0.9))
    assert moved.of_interval == pytest.approx(0.05)
    assert not moved.beyond
    assert agreement.reproduces([moved])


@pytest.mark.parametrize(
    ("before", "after", "beyond"),
    [
        (row(), row(measured=0.519), False),
        (row(), row(measured=0.521), True),
        (row(replication="toy_sae"), row(replication="toy_sae", measured=0.69), False),
        (row(replication="toy_sae"), row(replication="toy_sae", measured=0.71), True),
        (row(ci_low=None, ci_high=None), row(measured=0.5004), False),
        (row(ci_low=None, ci_high=None), row(measured=0.5006), True),
        (row(measured="0", ci_low=0.0, ci_high=0.0), row(measured=5e-7), False),
        (row(measured="0.1, 0.2", ci_low=None, ci_high=None), row(measured="0.1, 0.21"), True),
        (row(measured="END", ci_low=None, ci_high=None), row(measured="S2"), False),
        (row(measured=None, ci_low=None, ci_high=None), row(measured=None), False),
    ],
)
def test_what_leaves_its_numerical_tolerance(before, after, beyond):
    moved = shift(before, after)
    assert moved.beyond == beyond
    assert agreement.reproduces([moved]) == (not beyond)


def test_a_claims_own_tolerance_is_a_second_unit(block, tmp_path):
    from replications.claims.schema import Claim

    claim = Claim.model_validate(block(id="a.b", tolerance=0.5))
    moved = shift(row(model="gpt2"), row(model="gpt2", measured=0.51), {"a.b": claim})
    assert moved.of_tolerance == pytest.approx(0.02)


@pytest.mark.parametrize("after", [row(verdict="fails"), row(claim="a.c")])
def test_a_changed_verdict_and_a_row_that_only_one_side_has_are_told(after):
    listed = agreement.shifts(pd.DataFrame([row()]), pd.DataFrame([after]), {}, TOLERANCES)
    assert not agreement.reproduces(listed)
    head, *lines = agreement.paragraph(listed, 0, pinned=True)
    assert f"{len(listed)} changed" in head
    assert lines[0].startswith("- ioi a.b smol en: holds became ")


def test_nothing_to_report_is_one_sentence_of_good_news():
    listed = [shift(row(), row())]
    (head,) = agreement.paragraph(listed, 0, pinned=True)
    assert head.startswith("Verdicts compared with the committed ones: 1, of which none changed, none moved further")
    assert "No file differs by a byte" in head


def test_the_committed_table_is_gits_and_not_the_folders(tmp_path):
    def git(*words):
        subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)

    with pytest.raises(Refusal, match="run inside a clone"):
        agreement.committed(tmp_path)
    git("init", "-q")
    table = tmp_path / "reports" / "verdicts.csv"
    table.parent.mkdir()
    pd.DataFrame([row()]).to_csv(table, index=False)
    git("add", "-A")
    git("-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x")
    pd.DataFrame([row(verdict="fails")]).to_csv(table, index=False)
    assert list(agreement.committed(tmp_path)["verdict"]) == ["holds"]
    (tmp_path / "reports" / "new.csv").touch()
    assert agreement.changed_files(tmp_path, "reports") == 2


def test_the_table_has_a_line_per_room_that_ran():
    listed = [shift(row(), row(measured=0.51))]
    table = agreement.table(listed, ["ioi"], {"ioi": 0}, TOLERANCES)
    assert [list(column.cells) for column in table.columns][:5] == [["ioi"], ["1"], ["none"], ["none"], ["0.05"]]
