"""Figures: the same numbers give the same bytes, and what is blank is drawn blank."""

import contextlib
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest

from replications.files import read_yaml
from replications.report import plots
from replications.settings import DATA

# The languages of the catalogue in their own words, one or more per script.
WRITTEN = {
    "ar": "العربية", "cs": "čeština", "de": "Straße", "en": "English", "es": "español", "fa": "فارسی", "fi": "sää",
    "fr": "œuvre", "gl": "galego", "hi": "हिन्दी क्षेत्र", "id": "bahasa", "is": "þjóð", "it": "città", "ja": "日本語の文",
    "ko": "한국어", "nl": "geïnd", "pl": "żółć", "pt": "ação", "ru": "русский", "sv": "språk", "th": "ที่ภาษาไทย",
    "tr": "ığşç", "zh": "卢浮宫",
}  # fmt: skip
SCRIPTS = ["Ελληνικά", "עברית", "ქართული", "Հայերեն", "தமிழ்", "বাংলা", "አማርኛ", "తెలుగు", "ਪੰਜਾਬੀ", "မြန်မာ", "ខ្មែរ", "ລາວ"]
MARKUP = ["$5 / $7", "$\\frac{", "a_b^{c}", "100 %", "{x}", "\\alpha", "_hidden", "</svg>", "--"]


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


def test_fonts_are_looked_for_once_and_draw_the_same(tmp_path, monkeypatch):
    """Half of drawing went into asking for 22 families at each measurement of each text."""
    from matplotlib.font_manager import FontManager, fontManager

    asked, find = [], FontManager._find_fonts_by_props
    monkeypatch.setattr(FontManager, "_find_fonts_by_props", lambda self, it: asked.append(hash(it)) or find(self, it))

    def made(folder):
        plots.article_maps(tmp_path / folder / "map", article(), "a title, n = 1")
        return {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()}

    plots._fonts_of.cache_clear()
    once = made("once")
    assert 0 < len(asked) == len(set(asked))
    assert "_find_fonts_by_props" not in vars(fontManager)
    monkeypatch.setattr(plots, "_found_once", contextlib.nullcontext)
    asked.clear()
    assert made("each time") == once
    assert len(asked) > 5 * len(set(asked))


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


@pytest.fixture(scope="module")
def every_script(tmp_path_factory):
    """A map whose columns are texts in every script and texts that look like markup, as pytest's warnings-are-errors
    lets it through: no glyph is missing."""
    names = [*WRITTEN.values(), *SCRIPTS, *MARKUP]
    with plots.drawn(tmp_path_factory.mktemp("scripts") / "x", 1, width=12, height=3) as (figure, (axes,)):
        plots.heat_map(axes, np.zeros((2, len(names))), x=names, ylabel="layer", title="$t")
        figure.suptitle("$5 and $7")
        for name in MARKUP:
            axes.plot([0], [0], label=name)
        legend = axes.legend()
    return axes, legend, names


def test_every_language_of_the_catalogue_has_its_glyphs(every_script):
    models = read_yaml(DATA / "catalogue" / "models.yaml")
    spoken = {language for model in models.values() for language in model["languages"]}
    assert spoken <= set(WRITTEN), "give WRITTEN a word of the new language"
    axes, _, names = every_script
    assert [label.get_text() for label in axes.get_xticklabels()] == names


def test_labels_are_text_not_markup(every_script):
    axes, legend, _ = every_script
    from matplotlib.text import Text

    texts = [text for text in [*axes.get_figure().findobj(Text), *legend.get_texts()] if text.get_text()]
    assert {"$5 / $7", "$t", "$5 and $7"} <= {text.get_text() for text in texts}
    assert not any(text.get_parse_math() for text in texts)


def test_what_no_font_has_is_written_by_its_code_point():
    assert plots.legible("a\u0007b \ue000 \U0001f9ff हि") == "a⟨U+0007⟩b ⟨U+E000⟩ ⟨U+1F9FF⟩ हि"


def test_fonts_are_the_packaged_ones_whatever_the_machine_has():
    """A system's font of the same name would give other bytes."""
    from matplotlib import font_manager

    first, *others = plots.families()
    assert [font_manager.findfont(name) for name in others] == [str(file) for file in plots.font_files()]
    assert "mpl-data" in font_manager.findfont(first)


def test_scripts_are_shaped():
    """Devanagari's vowel sign i stands before its consonant, conjuncts are one glyph: matplotlib shapes since 3.11."""
    import matplotlib
    from matplotlib.textpath import TextPath

    with matplotlib.rc_context(plots.STYLE | {"font.family": list(plots.families())}):
        apart, together = (TextPath((0, 0), text, size=10).get_extents().width for text in ("क ष", "क्ष"))
    assert together < 0.8 * apart


def test_logarithmic_ticks_are_plain_numbers(tmp_path):
    with plots.drawn(tmp_path / "x", 1, width=3, height=3) as (figure, (axes,)):
        axes.plot([0.001, 1000], [1, 2])
        plots.log_axis(axes.xaxis)
        figure.draw_without_rendering()
        assert {"0.001", "1000"} <= {tick.get_text() for tick in axes.get_xticklabels()}


def test_a_wiggle_of_rounding_gives_the_same_svg(tmp_path):
    for name, factor in (("a", 1), ("b", 1 + 1e-9)):
        with plots.drawn(tmp_path / name, 1, width=3, height=3) as (_, (axes,)):
            axes.plot(np.linspace(0, 1, 7) * factor, np.linspace(0, 1, 7) ** 2 * factor)
    a, b = ((tmp_path / f"{name}.svg").read_bytes() for name in ("a", "b"))
    assert a == b
    ElementTree.fromstring(a)


@pytest.mark.parametrize("count", [1, 12, 13, 48])
def test_ticks_are_thinned(count):
    shown = list(range(count))[plots.thinned(range(count))]
    assert 0 < len(shown) <= 12
    assert shown[0] == 0
