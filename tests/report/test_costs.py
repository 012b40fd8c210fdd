"""What a run costs, from the recorded durations alone."""

import json

from replications.report.costs import costs


def used(seconds):
    return {"seconds": seconds, "cpu_seconds": seconds - 1, "gigabytes": seconds / 100}


def test_rooms_the_whole_and_the_projection(tmp_path):
    (tmp_path / "data").mkdir()
    seconds = {"rome@gemma-3-270m-fr": 100, "rome@gemma-3-270m-de": 120, "ioi@gemma-3-270m-fr": 60, "toy_sae": 300,
               "model@gemma-3-270m": 20, "figures@rome": 8, "report": 2}  # fmt: skip
    stages = {name: used(taken) for name, taken in seconds.items()}
    tree = {"processor": "A|B", "calibration": 10.0, "stages": stages}
    (tmp_path / "data" / "durations.json").write_text(json.dumps(tree))
    page = costs(tmp_path)
    assert "| rome | 2 | 110 s | 109 s | 1.2 GB | 4 min |" in page
    assert "| drawing and reporting | 2 | 5 s" in page
    assert "All 7 stages together: 0.2 core-hours on A" in page
    assert "110 + 60 = 170 s a model and language, × 2000 = 94 core-hours, 6 hours on 16 cores" in page


def test_nothing_is_said_where_nothing_was_recorded(tmp_path):
    assert costs(tmp_path) == ""
