"""Figures: which are drawn, with which panels, and the same bytes for the same numbers."""

import drawn
import pandas as pd
import pytest

from replications.evidence.run import write_tables
from replications.layer_probing import figures


def curves(task, *names, weights=("measured", "control")):
    rows = [{"weights": weight, "task": task, "series": name, "layer": layer, "value": 0.5, "ci_low": 0.4,
             "ci_high": 0.6, "n": 10} for weight in weights for name in names for layer in range(4)]  # fmt: skip
    return pd.DataFrame(rows)


SERIES = curves("pos", "accuracy", "control task", "selectivity")
PAIR = curves("noun_verb", "accuracy", "P(verb), water as noun")
USE = curves("use", *(f"{what}, {name}" for what in ("word", "class") for name in figures.REMOVALS))


@pytest.mark.parametrize(
    ("frames", "stems"),
    [
        ([SERIES], {"series"}),
        ([SERIES, PAIR], {"series", "noun_verb"}),
        ([SERIES, PAIR, USE], {"series", "noun_verb", "use"}),
    ],
)
def test_a_figure_for_everything_that_was_measured(tmp_path, frames, stems):
    write_tables(tmp_path / "run", {"curves": pd.concat(frames)})
    assert drawn.draw("layer_probing", tmp_path / "run", tmp_path) == drawn.pictures(*stems)


def test_a_panel_only_for_what_there_is(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "lines", lambda ax, some, ylabel, title: drawn.append((title, set(some["series"]))))
    figures.draw_series(tmp_path / "series", SERIES, "a model, en")
    figures.draw_series(tmp_path / "series", curves("deps", "accuracy"), "a model, en")
    assert drawn == [
        ("part of speech", {"accuracy", "control task"}),
        ("part of speech", {"selectivity"}),
        ("relation to the head", {"accuracy"}),
    ]
