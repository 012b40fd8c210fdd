"""Figures made by hand are recognised, also turned, reflected, stretched and disturbed a little."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from replications.superposition import geometry


def around(*degrees):
    return torch.tensor([[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in degrees])


FIGURES = {
    "orthogonal": around(0, 90),
    "digon": around(10, 190),
    "triangle": around(0, 120, 240),
    "antipodal_pairs": around(0, 90, 180, 270),
    "pentagon": around(0, 72, 144, 216, 288),
    "one": around(33),
    "none": around(0, 120) * 0.2,
    "other": around(0, 20, 40),
}


@pytest.mark.parametrize("name", FIGURES)
@given(turn=st.floats(0, 2 * math.pi), stretch=st.floats(0.9, 1.3), seed=st.integers(0, 99), flip=st.booleans())
def test_a_figure_is_recognised_however_it_lies(name, turn, stretch, seed, flip):
    c, s = math.cos(turn), math.sin(turn)
    rotation = torch.tensor([[c, -s], [s, c]]) @ torch.diag(torch.tensor([1.0, -1.0 if flip else 1.0]))
    draws = torch.Generator().manual_seed(seed)
    W = FIGURES[name] @ rotation * stretch
    W = torch.cat([W + 0.01 * torch.randn(W.shape, generator=draws), torch.zeros(2, 2)])
    assert geometry.figure(W[torch.randperm(len(W), generator=draws)]) == name


def test_every_figure_has_a_label():
    assert set(FIGURES) == set(geometry.LABELS)


@pytest.mark.parametrize(("W", "expected"), [
    (torch.eye(3), [1, 1, 1]),
    (around(0, 180), [1 / 2] * 2),
    (around(0, 120, 240), [2 / 3] * 3),
    (around(0, 72, 144, 216, 288), [2 / 5] * 5),
    (torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]), [3 / 4] * 4),
    (torch.cat([torch.nn.functional.pad(around(0, 120, 240), (0, 1)), torch.tensor([[0, 0, 1.0], [0, 0, -1.0]])]),
     [2 / 3] * 3 + [1 / 2] * 2),
])  # fmt: skip
def test_dimensionalities_of_known_figures(W, expected):
    assert geometry.dimensionality(W).tolist() == pytest.approx(expected, abs=1e-6)
    assert geometry.dimensionality(1.7 * W).tolist() == pytest.approx(expected, abs=1e-6)


def test_square_antiprism_has_three_eighths():
    s = 0.8  # the dimensionality does not depend on the height only for the height that makes all alike
    height = math.sqrt(1 / 3)
    top, bottom = around(0, 90, 180, 270), around(45, 135, 225, 315)
    rows = [torch.nn.functional.pad(ring * math.sqrt(1 - height**2), (0, 1), value=sign * height)
            for ring, sign in ((top, 1), (bottom, -1))]  # fmt: skip
    assert geometry.dimensionality(s * torch.cat(rows)).tolist() == pytest.approx([3 / 8] * 8, abs=1e-5)


def test_dimensionalities_add_up_to_the_dimensions_used():
    tight = torch.cat([around(0, 72, 144, 216, 288)])
    assert geometry.dimensionality(tight).sum().item() == pytest.approx(2, abs=1e-5)
    assert geometry.dimensions_per_feature(around(0, 90, 180, 270)).item() == pytest.approx(1 / 2)
    assert geometry.dimensions_per_feature(torch.eye(4)).item() == pytest.approx(1)


def test_a_feature_of_no_length_has_no_dimension():
    assert geometry.dimensionality(torch.tensor([[1.0, 0], [0, 0]])).tolist() == [1, 0]


def test_interference_and_vulnerability():
    assert geometry.interference(torch.eye(3)).tolist() == [0, 0, 0]
    assert geometry.interference(around(0, 180)).tolist() == pytest.approx([1, 1], abs=1e-6)
    assert geometry.vulnerability(torch.eye(3)).item() == pytest.approx(1)
    assert geometry.vulnerability(around(0, 180)).item() == pytest.approx(2)
