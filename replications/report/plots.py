"""Figures that a person would put in a paper: one style, SVG and PNG, the same bytes for the same numbers."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replications.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

STYLE = {
    "svg.hashsalt": "replications",  # without it element ids are random
    "svg.fonttype": "path",  # names in any script, also where the reader has no font for it
    "font.size": 9,
    "font.family": ["DejaVu Sans", "Noto Sans CJK TC"],  # the second for what the first has no glyph for
    "axes.spines.top": False,
    "axes.spines.right": False,
}
COLOURS = {
    "S2": "#c44e52", "after_S2": "#8c8c8c", "END": "#4c72b0",
    "subject_first": "#dd8452", "subject_middle": "#937860", "subject_last": "#c44e52", "after": "#8c8c8c",
    "last": "#4c72b0",
}  # fmt: skip


@cache
def _add_cjk_font() -> None:
    """Tell matplotlib of the packaged font; the package is read as data, not imported."""
    from matplotlib import font_manager

    (folder,) = find_spec("cvttf_NotoSansCJK_Regular").submodule_search_locations
    font_manager.fontManager.addfont(Path(folder) / "NotoSansCJKtc-Regular.otf")


@contextmanager
def drawn(stem: Path, columns: int, *, width: float, height: float) -> Iterator[tuple[Figure, list[Axes]]]:
    """An empty figure (inches) with a row of axes in the house style, written to stem.svg and stem.png at the end.

    Nothing of it is global, and neither file holds a date or a random identifier.
    """
    import matplotlib
    from matplotlib.figure import Figure

    _add_cjk_font()
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, list(figure.subplots(1, columns, squeeze=False)[0])
        for suffix, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix, dpi=110, metadata=metadata)
            write_bytes(stem.with_suffix(f".{suffix}"), buffer.getvalue())


def heat_map(axes: Axes, values: NDArray[Any], *, x: list[str], ylabel: str, title: str, limit: float = 1.0) -> Any:
    """Map [row, column] in a diverging colour map centred at 0; returns the image for a colour bar."""
    axes.set_facecolor("0.85")  # shows through where nothing was measured
    image = axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", origin="lower")
    axes.set_xticks(range(len(x)), x, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_ylabel(ylabel)
    axes.set_title(title, fontsize=9)
    return image


def curves(axes: Axes, table: Any, *, title: str) -> None:
    """Restoration by layer, one line with its 95 % band per role, from a tidy frame (see `roles.curve_table`)."""
    for role, part in table.groupby("role", sort=False):
        colour = COLOURS.get(str(role), "#55a868")
        axes.plot(part["layer"], part["restoration"], color=colour, label=f"{role} (n = {part['n'].iloc[0]})")
        axes.fill_between(part["layer"], part["ci_low"], part["ci_high"], color=colour, alpha=0.2, linewidth=0)
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.axhline(1, color="0.6", linewidth=0.8, linestyle=":")
    axes.set_ylim(-0.5, 1.5)
    axes.set_xlabel("layer")
    axes.set_ylabel("restoration (0 corrupted, 1 clean)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_title(title, fontsize=9)


PANELS = {"measured": "trained weights", "control": "random weights (control)"}


def article_maps(stem: Path, cells: Any, title: str) -> None:
    """Layer x token maps of one pair, trained beside random weights, from the frame of `tables.article_cells`."""
    tokens = cells.drop_duplicates("position").sort_values("position")["token"].tolist()
    with drawn(stem, 2, width=2.5 + 0.62 * len(tokens), height=4.4) as (figure, axes):
        for ax, (weights, label) in zip(axes, PANELS.items(), strict=True):
            part = cells[cells["weights"] == weights]
            grid = part.pivot(index="layer", columns="position", values="restoration").to_numpy()
            image = heat_map(ax, grid, x=tokens, ylabel="layer (resid_pre)", title=label)
        figure.colorbar(image, ax=axes, label="restoration (0 corrupted, 1 clean)")
        figure.suptitle(title, fontsize=10)


def role_curves(stem: Path, table: Any, title: str) -> None:
    """Curves by role with their intervals, trained beside random weights."""
    with drawn(stem, 2, width=10, height=3.6) as (figure, axes):
        for ax, (weights, label) in zip(axes, PANELS.items(), strict=True):
            curves(ax, table[table["weights"] == weights], title=label)
        axes[-1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.02, 1))
        figure.suptitle(title, fontsize=10)
