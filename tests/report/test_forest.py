"""The forest draws what the verdict table says, each run under its own name, and nothing where there is no number."""

import json
from xml.etree import ElementTree

import pytest

from replications.claims.schema import Claim
from replications.report import forest

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def made(block):
    general = {"quantity": "pairs.gain", "comparison": "at_least", "published": 1.0}
    return Claim.model_validate(block(general=general))


def row(**fields):
    place = {"claim": "paper2022.gain", "model": "m", "language": "en", "verdict": "holds"}
    return place | {"measured": 2.0, "ci_low": 1.5, "ci_high": 2.5, "control": 0.1} | fields


def drawn(path, asked):
    return ElementTree.parse(forest.forest(path / "f.svg", "room", asked)).getroot()


def texts(page):
    return [(float(each.get("y")), each.text) for each in page.iter(f"{SVG}text")]


def places(page, tag, **attributes):
    """Attributes of the page's marks of one kind, without those of the legend."""
    found = [each.attrib for each in page.iter(f"{SVG}{tag}") if attributes.items() <= each.attrib.items()]
    return [each for each in found if float(each.get("cy", each.get("y1", forest.TOP))) >= forest.TOP]


def test_one_panel_per_claim(made):
    asked = forest.panels([made], [row(), row(language="fr", verdict="fails", control=None)])
    assert [(claim.id, len(rows)) for claim, rows in asked] == [("paper2022.gain", 2)]


def test_every_run_stands_under_its_own_name(tmp_path, made, block):
    """Panels with other runs than the first one's: the name beside a dot is that of the dot's own row."""
    other = Claim.model_validate(block(id="paper2022.other", general=made.general.model_dump()))
    theirs = {"claim": "paper2022.other", "measured": 1.75}
    rows = [row(), row(model="b"), row(**theirs, model="c"), row(**theirs, model="d", language="hi")]
    page = drawn(tmp_path, forest.panels([made, other], rows))
    heights = {text: y for y, text in texts(page) if ", " in text and len(text) < 6}
    assert list(heights) == ["m, en", "b, en", "c, en", "d, hi"]
    dots = [(float(dot["cx"]) // forest.COLUMN, float(dot["cy"])) for dot in places(page, "circle")]
    names = [(0, heights["m, en"]), (0, heights["b, en"]), (1, heights["c, en"]), (1, heights["d, hi"])]
    assert [column for column, _ in dots] == [column for column, _ in names]
    for (_, dot), (_, name) in zip(dots, names, strict=True):
        assert abs(dot - name) < forest.LINE / 2


def test_controls_have_the_intervals_of_the_evidence(tmp_path, made, estimate):
    folder = tmp_path / "m" / "en"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({"control": {"pairs": {"gain": estimate(0.5, 0.25, 0.75)}}}))
    ((_, (found,)),) = forest.with_control_intervals(forest.panels([made], [row(control=0.5)]), tmp_path)
    assert (found["control_low"], found["control_high"]) == (0.25, 0.75)
    (line,) = places(drawn(tmp_path, [(made, [found])]), "line", stroke=forest.CONTROL)
    assert float(line["x1"]) < float(line["x2"])


def test_evidence_without_a_control_has_no_interval(tmp_path, made):
    folder = tmp_path / "m" / "en"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text("{}")
    ((_, (found,)),) = forest.with_control_intervals(forest.panels([made], [row(control=None)]), tmp_path)
    assert (found["control_low"], found["control_high"]) == (None, None)


def test_same_rows_same_bytes(tmp_path, made):
    pages = [forest.forest(tmp_path / name, "room", forest.panels([made], [row()])) for name in ("a", "b")]
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_claims_without_a_number_elsewhere_have_no_panel(made, block):
    assert forest.panels([made], [row(measured="label")]) == []
    assert forest.panels([made], [row(measured=float("nan"))]) == []
    assert forest.panels([made], [row(verdict="not re-run here")]) == []
    assert forest.panels([Claim.model_validate(block())], [row()]) == []


def test_what_is_not_a_number_is_not_drawn(tmp_path, made):
    nan = float("nan")
    page = drawn(tmp_path, [(made, [row(control=nan, ci_high=nan), row(control="label", ci_low=None, ci_high=None)])])
    assert "nan" not in ElementTree.tostring(page, encoding="unicode")
    assert len(places(page, "circle")) == 2


def test_claims_are_text_not_markup(tmp_path, block, made):
    written = "<b>Five</b> & $5 / $7"
    claim = Claim.model_validate(block(statement=written, general=made.general.model_dump()))
    assert written in [text for _, text in texts(drawn(tmp_path, [(claim, [row()])]))]


def test_the_axis_spans_intervals_region_and_zero(made):
    low, high = forest._limits([row(ci_low=-3.0)], forest.region(made.general))
    assert low < -3.0
    assert high > 2.5


@pytest.mark.parametrize(
    ("ends", "wanted"),
    [((-0.2, 1.1), [0, 0.5, 1]), ((-0.19, 0.02), [-0.15, -0.1, -0.05, 0]), ((-30, 4200), [0, 1000, 2000, 3000, 4000]),
     ((0.0, 3.5e-4), [0, 1e-4, 2e-4, 3e-4])],
)  # fmt: skip
def test_ticks_are_round_and_few(ends, wanted):
    assert forest.ticks(*ends) == wanted
