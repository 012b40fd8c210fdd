"""Figures: the same numbers give the same bytes, and what is blank is drawn blank."""

import numpy as np
import pandas as pd
import pytest

from replications.report import plots


def article():
    tokens = ["BOS", "Louvre / Tower", "卢浮宫"]
    rows = [
        {"weights": weights, "layer": layer, "position": position, "token": token, "restoration": layer / 3}
        for weights in plots.PANELS
        for layer in range(4)
        for position, token in enumerate(tokens)
    ]
    return pd.DataFrame(rows)


def curves():
    rows = [
        {"weights": w, "layer": layer, "role": role, "restoration": 0.5, "ci_low": 0.4, "ci_high": 0.6, "n": 16}
        for w in plots.PANELS
        for role in ("S2", "END")
        for layer in range(4)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_same_numbers_same_bytes(tmp_path, suffix):
    written = []
    for name in ("a", "b"):
        plots.article_maps(tmp_path / name / "map", article(), "a title, n = 1")
        plots.role_curves(tmp_path / name / "roles", curves(), "a title")
        written.append([(tmp_path / name / f"{stem}{suffix}").read_bytes() for stem in ("map", "roles")])
    assert written[0] == written[1]


def test_blank_cells_are_not_drawn_as_zero(tmp_path):
    with plots.drawn(tmp_path / "x", 1, width=3, height=3) as (_, (axes,)):
        image = plots.heat_map(axes, np.array([[np.nan, 0.0]]), x=["a", "b"], ylabel="layer", title="t")
    assert np.ma.is_masked(image.get_array()[0, 0])
    assert not np.ma.is_masked(image.get_array()[0, 1])


def test_the_colour_map_is_centred_at_zero(tmp_path):
    with plots.drawn(tmp_path / "x", 1, width=3, height=3) as (_, (axes,)):
        image = plots.heat_map(axes, np.array([[0.2, -0.9]]), x=["a", "b"], ylabel="layer", title="t", limit=0.9)
    assert image.norm(0.0) == 0.5
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]


def test_a_figure_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), plots.drawn(tmp_path / "x", 1, width=3, height=3):
        1 / 0  # noqa: B018
    assert not list(tmp_path.iterdir())
