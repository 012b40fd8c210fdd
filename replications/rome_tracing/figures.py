"""Figures: AIE by token class and layer (the paper's figure 2), severed states (figure 3), noise and replacement."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from replications.report import plots

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from replications.evidence.run import Run

LABELS = {"state": "single states", "mlp": "MLPs, windows of 10", "attn": "attention, windows of 10"}
# The paper's colours: states purple, MLPs green, attention red.
SEVERED = {
    "intact": (plots.PURPLE, "intact"),
    "mlp": (plots.GREEN, "MLPs severed"),
    "attn": (plots.RED, "attention severed"),
}
CORRUPTIONS = {"noise": (plots.ORANGE, "Gaussian noise"), "replacement": (plots.BLUE, "token replacement")}
METRICS = {"p": "P(answer)", "logit_diff": "logit difference"}
WIDTH = 5  # of the windows shown for the two corruptions: the middle of the three


def draw(run: Run, out: Path, title: str) -> None:
    """Write aie, severed and (where there are pairs) corruptions as SVG and PNG into `out`: of the last list of facts,
    which on the paper's own models is the paper's."""
    aie, severed = run.tables["aie"], run.tables["severed"]
    last = aie["list"].iloc[-1]
    draw_maps(out / "aie", _of(aie, last), f"What restoring at a token and layer brings back of the answer ({title}")
    what = "Restoring a state of the last subject token, with modules severed"
    draw_severed(out / "severed", _of(severed, last), f"{what} ({title}; 95 % bands)")
    if "corruptions" in run.tables:
        what = f"Restoring {WIDTH} MLPs at the last subject token"
        draw_corruptions(out / "corruptions", _of(run.tables["corruptions"], last), f"{what} ({title}; 95 % bands)")


def draw_maps(stem: Path, table: pd.DataFrame, title: str) -> None:
    """Layer x token class for the three kinds, trained weights then random ones, on one scale."""
    limit = max(0.01, table.loc[table["weights"] == "measured", "effect"].abs().max())
    layers, classes = sorted(table["layer"].unique()), list(table["token"].unique())
    with plots.drawn(stem, 2 * len(LABELS), width=13.5, height=4.4) as (figure, axes):
        panels = [(weights, kind) for weights in plots.PANELS for kind in LABELS]
        for ax, (weights, kind) in zip(axes, panels, strict=True):
            part = table[(table["weights"] == weights) & (table["kind"] == kind)]
            grid = part.pivot(index="layer", columns="token", values="effect").reindex(index=layers, columns=classes)
            image = plots.heat_map(
                ax,
                grid.to_numpy(),
                x=[plots.name(each) for each in classes],
                ylabel="layer",
                title=f"{LABELS[kind]}\n{plots.PANELS[weights]}",
                limit=limit,
            )
            shown = plots.thinned(layers)
            ax.set_yticks(range(len(layers))[shown], [str(layer) for layer in layers[shown]])
        figure.colorbar(image, ax=axes, label="effect on P(answer)")
        figure.suptitle(f"{title}, n = {_n(table)})")


def draw_severed(stem: Path, table: pd.DataFrame, title: str) -> None:
    """Effects by layer, intact and severed, trained beside random weights."""
    with plots.drawn(stem, 2, width=9, height=3.6) as (figure, axes):
        for ax, (weights, label) in zip(axes, plots.PANELS.items(), strict=True):
            part = table[table["weights"] == weights]
            _bands(ax, part, "severed", SEVERED, title=f"{label}, n = {_n(part)}", ylabel="effect on P(answer)")
        _same_scale(axes)
        axes[0].legend(frameon=False, fontsize=8)
        figure.suptitle(title)


def draw_corruptions(stem: Path, table: pd.DataFrame, title: str) -> None:
    """Effects by layer under noise and under replacement, both metrics, trained beside random weights."""
    with plots.drawn(stem, 2 * len(METRICS), width=14, height=3.6) as (figure, axes):
        for i, metric in enumerate(METRICS):
            for ax, (weights, label) in zip(axes[2 * i : 2 * i + 2], plots.PANELS.items(), strict=True):
                wanted = (table["weights"] == weights) & (table["metric"] == metric) & (table["width"] == WIDTH)
                part = table[wanted]
                _bands(
                    ax,
                    part,
                    "corruption",
                    CORRUPTIONS,
                    title=f"{label}, n = {_n(part)}",
                    ylabel=f"effect on {METRICS[metric]}",
                )
            _same_scale(axes[2 * i : 2 * i + 2])
        axes[0].legend(frameon=False, fontsize=8)
        figure.suptitle(title)


def _bands(
    axes: Axes, table: pd.DataFrame, by: str, styles: Mapping[str, tuple[str, str]], *, title: str, ylabel: str
) -> None:
    """One line with its 95 % band for every value of the column `by`."""
    for name, (colour, label) in styles.items():
        part = table[table[by] == name]
        axes.plot(part["layer"], part["effect"], color=colour, label=label, marker=".", markersize=4)
        axes.fill_between(part["layer"], part["ci_low"], part["ci_high"], color=colour, alpha=0.2, linewidth=0)
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.set_xlabel("layer")
    axes.set_ylabel(ylabel)
    plots.whole_numbers(axes.xaxis)
    axes.set_title(title)


def _of(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of one list of facts."""
    return table[table["list"] == name]


def _same_scale(axes: list[Axes]) -> None:
    """Random weights on the scale of the trained ones: a flat line should look flat."""
    limits = [ax.get_ylim() for ax in axes]
    for ax in axes:
        ax.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def _n(table: pd.DataFrame) -> int:
    """The largest number of facts that a curve of the trained weights rests on."""
    return int(table["n"].max())
