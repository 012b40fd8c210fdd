"""Figures: which are drawn, with which panels, and the same bytes for the same numbers."""

import pandas as pd
import pytest

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
    figures.draw(tmp_path, pd.concat(frames), "a model, en")
    assert {path.name for path in tmp_path.iterdir()} == {f"{s}.{kind}" for s in stems for kind in ("svg", "png")}


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


def test_the_same_bytes_twice(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        figures.draw(tmp_path / folder, pd.concat([SERIES, USE]), "a model, en")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
