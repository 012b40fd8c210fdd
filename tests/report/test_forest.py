"""The forest draws what the verdict table says, and nothing where there is no number."""

import pytest

from replications.claims.schema import Claim
from replications.report import forest


@pytest.fixture
def made(block):
    general = {"quantity": "pairs.gain", "comparison": "at_least", "published": 1.0}
    return Claim.model_validate(block(general=general))


def row(**fields):
    place = {"claim": "paper2022.gain", "model": "m", "language": "en", "verdict": "holds"}
    return place | {"measured": 2.0, "ci_low": 1.5, "ci_high": 2.5, "control": 0.1} | fields


def test_one_panel_per_claim(tmp_path, made):
    asked = forest.panels([made], [row(), row(language="fr", verdict="fails", control=None)])
    assert [(claim.id, len(rows)) for claim, rows in asked] == [("paper2022.gain", 2)]
    forest.forest(tmp_path / "f", "room", asked)
    assert {path.name for path in tmp_path.iterdir()} == {"f.svg", "f.png"}


def test_same_rows_same_bytes(tmp_path, made):
    for name in ("a", "b"):
        forest.forest(tmp_path / name, "room", forest.panels([made], [row()]))
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_claims_without_a_number_elsewhere_have_no_panel(made, block):
    assert forest.panels([made], [row(measured="label")]) == []
    assert forest.panels([made], [row(verdict="not re-run here")]) == []
    assert forest.panels([Claim.model_validate(block())], [row()]) == []


def test_the_axis_spans_intervals_region_and_zero(made):
    low, high = forest._limits([row(ci_low=-3.0)], forest.region(made.general))
    assert low < -3.0
    assert high > 2.5
