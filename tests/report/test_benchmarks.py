"""What is said of speed: where and when, what was wanted, and whether it was met; nothing of a damaged file."""

import json

import pytest

from replications.errors import Refusal
from replications.records import checked
from replications.report.benchmarks import NOTHING, Benchmarks, benchmarks, line, page, write_benchmarks
from replications.report.scoreboard import write_report
from replications.settings import REPORTS

WHERE = {
    "date": "2026-05-04T03:02Z", "processor": "Some | CPU", "instructions": ["avx2"], "architecture": "x86_64",
    "cores": 2, "memory_gib": 23.5, "versions": {"torch": "2.0", "numpy": "1.9"}, "pinned": False,
    "load_begin": 0.25, "load_end": 1.5, "others": 0.01,
}  # fmt: skip
UNKNOWN = dict.fromkeys(("date", "processor", "instructions", "memory_gib", "load_begin", "load_end", "others"))
PEER = {
    "what": "a_map_ of <x>", "kind": "peer", "against": "loop", "threads": 2, "rounds": 5, "ours_s": 0.5,
    "other_rounds": 3, "other_s": 50.0, "ratio": 100.0, "wanted": 100.0, "reason": "less `work`", "max_abs_diff": 1e-6,
    "gemm_gflops": 90.0, "load": 1.0, "note": "scaled",
}  # fmt: skip
FLOOR = PEER | {"kind": "floor", "against": "floor", "threads": 1, "other_s": 0.4, "ratio": 1.25, "wanted": 1.25,
                "reason": "a quarter", "max_abs_diff": None}  # fmt: skip


def measured(*rows, **where):
    return checked({"conditions": WHERE | where, "comparisons": list(rows)}, Benchmarks, "a.json")


def cells(page, start):
    (found,) = [line for line in page.splitlines() if line.startswith(start)]
    return [cell.strip() for cell in found.strip("|").split(" | ")]


def test_a_ratio_stands_beside_what_is_wanted_and_the_times_of_both_sides():
    page = benchmarks(measured(PEER))
    assert cells(page, "| a_map_ of") == [
        "a_map_ of &#60;x>", "loop", "2", "100 times faster", "at least 100", "✔ met", "0.5 s (n=5)", "50 s (n=3)",
        "1.0e-06",
    ]  # fmt: skip
    assert "2 threads, at least 100 times faster than loop**: less `work`" in page
    assert "- **a_map_ of &#60;x>**: scaled" in page


def test_a_floor_is_held_from_above():
    page = benchmarks(measured(FLOOR))
    assert cells(page, "| a_map_ of")[1:6] == ["its floor", "1", "1.25 times its floor", "at most 1.25", "✔ met"]
    assert "one thread, at most 1.25 times its floor**: a quarter" in page


@pytest.mark.parametrize(
    ("row", "ratio", "met"),
    [(PEER, 99.0, False), (PEER, 101.0, True), (FLOOR, 1.26, False), (FLOOR, 1.0, True)],
)
def test_a_goal_is_met_or_not(row, ratio, met):
    other = row["ours_s"] * ratio if row["kind"] == "peer" else row["ours_s"] / ratio
    (found,) = measured(row | {"ratio": ratio, "other_s": other}).comparisons
    assert found.met is met
    assert line(found).endswith(": ✔ met" if met else ": ✗ not met")


def test_where_nothing_was_asked_nothing_is_met():
    found = measured(PEER | {"wanted": None, "reason": None})
    assert found.comparisons[0].met is None
    assert cells(benchmarks(found), "| a_map_ of")[4:6] == ["", "nothing asked"]
    assert "## Why that much is wanted\n\nNone." in benchmarks(found)


def test_the_page_says_where_and_when():
    page = benchmarks(measured(PEER))
    assert "| date | 2026-05-04 03:02 UTC |" in page
    assert r"| processor | Some \| CPU |" in page
    assert "| memory | 23.5 GiB |" in page
    assert "| load average | 0.25 at the beginning, 1.50 at the end |" in page
    assert "| versions | numpy 1.9, torch 2.0 |" in page


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"others": 0.05}, "The machine was quiet. Other processes took 0.05 of a core meanwhile."),
        ({"others": 0.06}, "**The machine was busy.** Other processes took 0.06 of a core meanwhile"),
        ({"others": None}, "What else the machine did meanwhile was not recorded: times"),
        (UNKNOWN, "What else the machine did meanwhile was not recorded, nor when it was: times"),
    ],
)
def test_a_busy_machine_is_marked(where, said):
    assert said in benchmarks(measured(PEER, **where))


def test_what_was_not_recorded_is_not_made_up():
    assert benchmarks(measured(PEER, **UNKNOWN)).count("| not recorded |") == len(UNKNOWN) - 2  # one load, no others


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"conditions": WHERE}, "comparisons: is missing"),
        ({"conditions": WHERE | {"date": "yesterday"}, "comparisons": []}, "conditions.date: should match"),
        ({"conditions": WHERE | {"cores": 0}, "comparisons": []}, "conditions.cores: should be greater"),
        ({"conditions": WHERE, "comparisons": [PEER | {"ours_s": "1"}]}, "ours_s: should be a number, not '1'"),
        ({"conditions": WHERE, "comparisons": [PEER | {"ratio": 90.0}]}, "ratio should be that of the times, 100, not"),
        ({"conditions": WHERE, "comparisons": [PEER | {"reason": None}]}, "wanted and reason should both be there"),
    ],
)
def test_a_damaged_file_is_refused_in_a_sentence(tmp_path, tree, said):
    file = tmp_path / "reports" / "benchmarks.json"
    file.parent.mkdir()
    file.write_text(json.dumps(tree))
    with pytest.raises(Refusal) as refusal:
        write_benchmarks(tmp_path)
    assert str(refusal.value).startswith(f"{file}: ")
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not file.with_suffix(".md").exists()


def test_the_report_writes_the_page_from_the_file_alone(checkout):
    file = checkout.root / "reports" / "benchmarks.json"
    write_report(checkout.root)
    assert file.with_suffix(".md").read_text() == NOTHING
    file.write_text(json.dumps({"conditions": WHERE, "comparisons": [PEER, FLOOR]}))
    write_report(checkout.root)
    assert file.with_suffix(".md").read_text() == benchmarks(measured(PEER, FLOOR))


def test_the_committed_page_is_that_of_the_committed_file():
    assert (REPORTS / "benchmarks.md").read_text() == page(REPORTS.parent)
