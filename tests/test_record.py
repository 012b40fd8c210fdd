"""`replicate record`: a model's findings as the evidence has them, and a person's reasons where they still stand."""

import pytest

from replications.claims.findings import findings_file, read_findings
from replications.claims.ledger import verdicts
from replications.errors import Refusal
from replications.record import differing, record

SMALL, OTHER = "smollm2-135m", "gemma-3-270m"
POSITIVE = {"quantity": "pairs.gain", "comparison": "sign", "published": "+"}
FAILS = "-1 (-2 to -0.5, n = 64), where > 0 is asked"


@pytest.fixture
def here(checkout, block, estimate):
    """Two rooms, the second with two claims, that fail in French and hold in English."""
    checkout.room("rome", block(id="z.first", general=POSITIVE), block(id="a.second", general=POSITIVE))
    checkout.room("ioi", block(id="b.only", general=POSITIVE))
    for room in ("rome", "ioi"):
        checkout.evidence(room, OTHER, "fr", {"pairs": {"gain": estimate(-1.0, -2.0, -0.5)}})
        checkout.evidence(room, OTHER, "en", {"pairs": {"gain": estimate(1.0, 0.5, 2.0)}})
    return checkout


@pytest.fixture
def renewed(here, block, estimate):
    """Replace a run's evidence."""

    def replace(room, language, *numbers):
        (here.root / "reports" / room / OTHER / language / "metrics.json").unlink()
        (here.root / "reports" / room / OTHER / language).rmdir()
        here.evidence(room, OTHER, language, {"pairs": {"gain": estimate(*numbers)}})

    return replace


def recorded(here, model=OTHER):
    return read_findings(findings_file(model, here.root))


def test_departures_are_written_in_a_fixed_order(here, capsys):
    record(OTHER, None, here.root)
    file, tree = findings_file(OTHER, here.root), recorded(here)
    assert [(room, list(claims)) for room, claims in tree.items()] == [("ioi", ["b.only"]),
                                                                       ("rome", ["z.first", "a.second"])]  # fmt: skip
    assert tree["ioi"]["b.only"].keys() == {"fr"}
    found = tree["ioi"]["b.only"]["fr"]
    assert (found.verdict, found.measured, found.interval, found.control, found.n, found.reason) == (
        "fails", -1.0, (-2.0, -0.5), None, 64, None
    )  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"ioi b.only fr: as expected became fails: {FAILS}"
    assert lines[-1] == f"{file}: 3 findings, 3 changed"
    assert [row["reason"] for row in verdicts(here.root) if row["language"] == "fr"] == [FAILS] * 3


def test_a_second_time_nothing_changes(here, capsys):
    record(OTHER, None, here.root)
    before = findings_file(OTHER, here.root).read_bytes()
    capsys.readouterr()
    record(OTHER, None, here.root)
    assert findings_file(OTHER, here.root).read_bytes() == before
    assert capsys.readouterr().out == f"{findings_file(OTHER, here.root)}: 3 findings, none changed\n"
    assert differing(OTHER, here.root) == []


def test_of_one_room_the_others_stay(here):
    here.finding("rome", OTHER, "en", "fails", claim="z.first", reason="as it was")
    record(OTHER, "ioi", here.root)
    tree = recorded(here)
    assert list(tree) == ["ioi", "rome"]
    assert tree["rome"]["z.first"]["en"].reason == "as it was"
    assert "fr" not in tree["rome"]["z.first"]


def test_a_persons_reason_stays_with_its_verdict_and_the_numbers_are_renewed(here, renewed, capsys):
    here.finding("ioi", OTHER, "fr", "fails", claim="b.only", reason="too {measured}")
    renewed("ioi", "fr", -3.0, -4.0, -2.0)
    record(OTHER, "ioi", here.root)
    found = recorded(here)["ioi"]["b.only"]["fr"]
    assert (found.measured, found.reason) == (-3.0, "too {measured}")
    out, err = capsys.readouterr()
    assert out.startswith("ioi b.only fr: still fails, by other numbers: -3 (")
    assert err == ""


def test_a_reason_about_another_verdict_goes_and_is_named(here, renewed, capsys):
    here.finding("ioi", OTHER, "fr", "fails", claim="b.only", reason="too small")
    renewed("ioi", "fr", -1.0, -2.0, 0.5)
    record(OTHER, "ioi", here.root)
    found = recorded(here)["ioi"]["b.only"]["fr"]
    assert (found.verdict, found.reason) == ("inconclusive", None)
    out, err = capsys.readouterr()
    assert out.startswith("ioi b.only fr: fails became inconclusive: -1 (")
    assert err.startswith("ioi b.only fr: its reason is about a verdict that no longer stands, and goes: too small; "
                          "proposed in its place: -1 (")  # fmt: skip
    assert len(err.splitlines()) == 1


def test_a_verdict_as_expected_is_not_recorded_and_an_empty_file_goes(here, renewed, capsys):
    here.finding("ioi", OTHER, "fr", "fails", claim="b.only", reason="too small")
    renewed("ioi", "fr", 1.0, 0.5, 2.0)
    record(OTHER, "ioi", here.root)
    assert not findings_file(OTHER, here.root).exists()
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "ioi b.only fr: fails became holds"
    assert err.strip().endswith("and goes: too small")


def test_what_has_no_row_is_left_out(here, capsys):
    here.finding("ioi", OTHER, "fr", "fails", claim="b.renamed")
    record(OTHER, "ioi", here.root)
    assert list(recorded(here)["ioi"]) == ["b.only"]
    assert "ioi b.renamed fr: fails became no row of the table" in capsys.readouterr().out


def test_what_is_not_run_here_stays_as_it_was(here):
    here.finding("ioi", "gpt2", "en", "not reproduced", claim="b.only", reason="in the reference run")
    record("gpt2", None, here.root)
    assert recorded(here, "gpt2")["ioi"]["b.only"]["en"].reason == "in the reference run"


def test_what_is_not_asserted_is_recorded_too(checkout, block, estimate):
    memory = {"source_kind": "memory", "seen_at": ""}
    checkout.room("rome", block(confidence="memory", provenance=memory))
    checkout.evidence("rome", "gpt2", "en", {"pairs": {"gain": estimate(9.0)}})
    record("gpt2", None, checkout.root)
    assert recorded(checkout, "gpt2")["rome"]["paper2022.gain"]["en"].verdict == "not reproduced"


def test_what_could_not_be_measured_has_no_numbers(here, renewed):
    renewed("ioi", "fr", None)
    record(OTHER, "ioi", here.root)
    found = recorded(here)["ioi"]["b.only"]["fr"]
    assert (found.verdict, found.measured, found.interval, found.n) == ("fails", None, None, 64)


def test_a_file_that_holds_no_findings_is_refused_and_stays(here):
    file = here.finding("ioi", OTHER, "fr", "holds", claim="b.only")
    before = file.read_bytes()
    with pytest.raises(Refusal, match=r"gemma-3-270m\.yaml: ioi: b\.only: fr: verdict: should be 'not reproduced'"):
        record(OTHER, None, here.root)
    assert file.read_bytes() == before
