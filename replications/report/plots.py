"""Figures that a person would put in a paper: one style, SVG and PNG, the same bytes for the same numbers."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from replications.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis, XAxis, YAxis
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

# Okabe and Ito's palette, which the colour-blind can tell apart.
BLUE, ORANGE, GREEN, RED = "#0072b2", "#e69f00", "#009e73", "#d55e00"
PURPLE, SKY, BLACK, GREY, PALE = "#cc79a7", "#56b4e9", "#222222", "#8c8c8c", "#c7c7c7"
STYLE = {
    "svg.hashsalt": "replications",  # without it element ids are random
    "svg.fonttype": "path",  # names in any script, also where the reader has no font for it
    "text.parse_math": False,  # a token is text: `$5 / $7` is not a formula
    "font.size": 9,
    "figure.titlesize": 10,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": f"cycler('color', {[BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK, GREY]})",
}
COLOURS = {
    "S2": RED, "after_S2": GREY, "END": BLUE,
    "subject_first": ORANGE, "subject_middle": PURPLE, "subject_last": RED, "after": GREY, "last": BLUE,
}  # fmt: skip
NAMES = {
    "S2": "repeated subject (S2)", "after_S2": "between S2 and the end", "END": "last token (END)",
    "subject_first": "first of the subject", "subject_middle": "middle of the subject",
    "subject_last": "last of the subject", "after": "after the subject", "first_after": "first after the subject",
    "further": "further tokens", "last": "last token", "s_inhibition": "S-inhibition",
}  # fmt: skip
HEADS = {
    "name_mover": BLUE, "negative_name_mover": RED, "s_inhibition": ORANGE, "induction": GREEN,
    "duplicate_token": PURPLE, "previous_token": BLACK, "backup_name_mover": SKY,
}  # fmt: skip
PANELS = {"measured": "trained weights", "control": "random weights (control)"}
_FINE = re.compile(r"scale\([^)]*\)|(-?\d+\.\d{3,})")  # what an SVG gives more digits than an eye can see


def name(slug: str) -> str:
    """What a reader should see for a name in a table: words."""
    return NAMES.get(slug, slug.replace("_", " "))


@cache
def font_files() -> tuple[Path, ...]:
    """Packaged fonts for what DejaVu Sans, matplotlib's own, has no glyph for; the packages are read as data."""
    cjk, scripts = map(_folder, ("cvttf_NotoSansCJK_Regular", "manimgx_fonts"))
    return cjk / "NotoSansCJKtc-Regular.otf", *sorted(scripts.glob("NotoSans[A-Z]*.ttf"))


def _folder(package: str) -> Path:
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"the fonts of the package {package} are not installed")
    return Path(found.submodule_search_locations[0])


@cache
def families() -> tuple[str, ...]:
    """Names of the fonts a text is drawn with, each for the characters that those before it lack."""
    from matplotlib.font_manager import fontManager

    for file in font_files():
        fontManager.addfont(file)
        fontManager.ttflist.insert(0, fontManager.ttflist.pop())  # before the machine's own font of that name
    added = {entry.fname: entry.name for entry in fontManager.ttflist}
    return "DejaVu Sans", *(added[str(file)] for file in font_files())


def legible(text: str) -> str:
    """A text from data as a label: what no font here has a glyph for, and controls, by code point: ⟨U+0007⟩."""
    return "".join(c if (c.isascii() and c.isprintable()) or _has_glyph(c) else f"⟨U+{ord(c):04X}⟩" for c in text)


@cache
def _has_glyph(character: str) -> bool:
    from unicodedata import category

    drawn_or_joins = category(character)[0] != "C" or character in "\u200c\u200d"  # the joiners of Indic scripts
    return drawn_or_joins and any(font.get_char_index(ord(character)) for font in _fonts())


@cache
def _fonts() -> tuple[Any, ...]:
    from matplotlib.font_manager import findfont, get_font

    return get_font(findfont("DejaVu Sans")), *(get_font(file) for file in font_files())


@cache
def _fonts_of(properties: Any) -> Any:
    from matplotlib.font_manager import FontManager, fontManager

    return FontManager._find_fonts_by_props(fontManager, properties)


@contextmanager
def _found_once() -> Iterator[None]:
    """Font files are looked for once per style: matplotlib does it, for every family, each time it measures a text."""
    from matplotlib import font_manager

    manager: Any = font_manager.fontManager  # a method of its class, and private: types know nothing of this
    manager._find_fonts_by_props = _fonts_of
    try:
        yield
    finally:
        del manager._find_fonts_by_props


@contextmanager
def styled(
    stem: Path, *, width: float, height: float, layout: Literal["constrained"] | None = None
) -> Iterator[Figure]:
    """An empty figure (inches) in the house style, written to stem.svg and stem.png at the end.

    Nothing of it is global, and neither file holds a date or a random identifier.
    """
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = STYLE | {"font.family": list(families())}  # matplotlib's types list every key by name
    with matplotlib.rc_context(style), _found_once():
        figure = Figure(figsize=(width, height), layout=layout)
        yield figure
        for suffix, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix, dpi=110, metadata=metadata)
            data = buffer.getvalue()
            write_bytes(stem.with_suffix(f".{suffix}"), _coarse(data) if suffix == "svg" else data)


@contextmanager
def drawn(stem: Path, columns: int, *, width: float, height: float) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure (inches) with a row of axes, written to stem.svg and stem.png at the end."""
    with styled(stem, width=width, height=height, layout="constrained") as figure:
        yield figure, list(figure.subplots(1, columns, squeeze=False)[0])


def _coarse(svg: bytes) -> bytes:
    """The picture to a hundredth of a point, but for scales: numbers that differ by rounding are drawn the same."""
    return _FINE.sub(lambda found: f"{float(found[1]):.2f}" if found[1] else found[0], svg.decode()).encode()


def heat_map(
    axes: Axes, values: NDArray[Any], *, ylabel: str, title: str, x: Sequence[str] = (), limit: float = 1.0
) -> Any:
    """Map [row, column] in a diverging colour map centred at 0; returns the image for a colour bar.

    x: names of the columns, any text; without them columns are numbered from 0.
    """
    axes.set_facecolor("0.85")  # shows through where nothing was measured
    image = axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", origin="lower")
    if x:
        axes.set_xticks(range(len(x)), map(legible, x), rotation=60, ha="right", rotation_mode="anchor")
    else:
        whole_numbers(axes.xaxis)
    axes.set_ylabel(ylabel)
    axes.set_title(title)
    return image


def whole_numbers(axis: Axis) -> None:
    """Ticks at whole numbers: layers, heads, edits."""
    locator: Any = axis.get_major_locator()  # a MaxNLocator; other locators know no `integer`
    locator.set_params(integer=True)


def thinned(places: Sequence[Any], most: int = 12) -> slice:
    """Which of the places get a tick, so that no more than `most` do."""
    return slice(None, None, ceil(len(places) / most) or 1)


def log_axis(axis: XAxis | YAxis) -> None:
    """A logarithmic axis whose ticks are plain numbers: 0.001, 10."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def beside(axes: Axes, **options: Any) -> None:
    """The legend on the right of a figure's last axes."""
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.02, 1), **options)


def curves(axes: Axes, table: Any, *, title: str) -> None:
    """Restoration by layer, one line with its 95 % band per role, from a tidy frame (see `roles.curve_table`)."""
    for role, part in table.groupby("role", sort=False):
        colour = COLOURS.get(str(role), GREEN)
        label = f"{name(str(role))}, n = {part['n'].iloc[0]}"
        axes.plot(part["layer"], part["restoration"], color=colour, label=label)
        axes.fill_between(part["layer"], part["ci_low"], part["ci_high"], color=colour, alpha=0.2, linewidth=0)
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.axhline(1, color="0.6", linewidth=0.8, linestyle=":")
    axes.set_ylim(-0.5, 1.5)
    axes.set_xlabel("layer")
    axes.set_ylabel("restoration (0 corrupted, 1 clean)")
    whole_numbers(axes.xaxis)
    axes.set_title(title)


def article_maps(stem: Path, cells: Any, title: str) -> None:
    """Layer x token maps of one pair, trained beside random weights, from the frame of `tables.article_cells`."""
    tokens = cells.drop_duplicates("position").sort_values("position")["token"].map(str).tolist()
    with drawn(stem, 2, width=2.5 + 0.62 * len(tokens), height=4.4) as (figure, axes):
        for ax, (weights, label) in zip(axes, PANELS.items(), strict=True):
            part = cells[cells["weights"] == weights]
            grid = part.pivot(index="layer", columns="position", values="restoration").to_numpy()
            image = heat_map(ax, grid, x=tokens, ylabel="layer whose input is restored", title=label)
        figure.colorbar(image, ax=axes, label="restoration (0 corrupted, 1 clean)")
        figure.suptitle(title)


def role_curves(stem: Path, table: Any, title: str) -> None:
    """Curves by role with their intervals, trained beside random weights."""
    with drawn(stem, 2, width=10, height=3.6) as (figure, axes):
        for ax, (weights, label) in zip(axes, PANELS.items(), strict=True):
            curves(ax, table[table["weights"] == weights], title=label)
        beside(axes[-1], title="mean with 95 % band")
        figure.suptitle(title)
