"""Curves by layer with their bands, trained beside random weights; bars of what a removal costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from replications.report import plots

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from replications.evidence.run import Run

COLOURS = {
    "pos": plots.BLUE, "deps": plots.ORANGE, "control task": plots.GREY, "shuffled labels": plots.BLACK,
    "majority": plots.PALE, "bits": plots.BLUE, "bits, control task": plots.GREY, "accuracy": plots.BLUE,
    "selectivity": plots.GREEN, "selectivity, seen types": plots.PURPLE, "P(verb), water as noun": plots.GREEN,
    "P(verb), water as verb": plots.RED, "means": plots.RED, "means_random": plots.GREY, "inlp": plots.BLUE,
    "inlp_random": plots.PALE,
}  # fmt: skip
REMOVALS = {
    "means": "difference of means", "means_random": "random, rank 1", "inlp": "null-space projection",
    "inlp_random": "random, same rank",
}  # fmt: skip
PANELS = [
    ("pos", "part of speech", "accuracy", ["accuracy", "control task", "shuffled labels", "majority"]),
    ("pos", "part of speech", "accuracy less control task's", ["selectivity", "selectivity, seen types"]),
    ("pos", "part of speech", "bits per word", ["bits", "bits, control task"]),
    ("deps", "relation to the head", "accuracy", ["accuracy", "majority"]),
]  # fmt: skip


def draw(run: Run, out: Path, title: str) -> None:
    """Write series, and where there is a minimal pair noun_verb and (on a decoder) use, as SVG and PNG into `out`."""
    curves = run.tables["curves"]
    draw_series(out / "series", curves, title)
    if (curves["task"] == "noun_verb").any():
        draw_pair(out / "noun_verb", curves[curves["task"] == "noun_verb"], title)
    if (curves["task"] == "use").any():
        draw_use(out / "use", curves[(curves["task"] == "use") & (curves["weights"] == "measured")], title)


def draw_series(stem: Path, curves: pd.DataFrame, title: str) -> None:
    """Parts of speech: accuracy, selectivity and bits by layer, and relations; random weights dotted."""
    panels = [(_of(curves, task, names), ylabel, label) for task, label, ylabel, names in PANELS]
    panels = [panel for panel in panels if len(panel[0])]
    with plots.drawn(stem, len(panels), width=3.4 * len(panels), height=3.6) as (figure, axes):
        for ax, (some, ylabel, label) in zip(axes, panels, strict=True):
            lines(ax, some, ylabel, label)
        figure.suptitle(f"What a linear probe reads off each layer ({title}; dotted: random weights; 95 % bands)")


def draw_pair(stem: Path, curves: pd.DataFrame, title: str) -> None:
    """Noun against verb on unseen types, and P(verb) of the article's two sentences."""
    article = curves["series"].str.startswith("P(verb)")
    with plots.drawn(stem, 2, width=8.4, height=3.6) as (figure, axes):
        lines(axes[0], curves[~article], "accuracy", "the same word as noun and as verb")
        axes[0].axhline(0.5, color="0.6", linewidth=0.8)
        lines(axes[1], curves[article & (curves["weights"] == "measured")], "P(verb)", "the article's sentences, n = 1")
        axes[1].set_ylim(-0.02, 1.02)
        figure.suptitle(f"Telling noun from verb, by layer ({title}; dotted: random weights; 95 % bands)")


def draw_use(stem: Path, curves: pd.DataFrame, title: str) -> None:
    """Bars of the nats that the word to come, and the odds of its class, lose at each edited layer, by removal."""
    labels = {"word": "log P(word) lost, nats", "class": "log odds of the word's class lost, nats"}
    with plots.drawn(stem, 2, width=11, height=3.6) as (figure, axes):
        for ax, (asked, label) in zip(axes, labels.items(), strict=True):
            _bars(ax, curves[curves["series"].str.startswith(asked)])
            ax.set_ylabel(label)
        axes[0].legend(frameon=False, fontsize=8)
        n = int(curves["n"].iloc[0])
        figure.suptitle(f"What predicting a noun or a verb loses without a part of the state ({title}, n = {n})")


def _bars(ax: Axes, curves: pd.DataFrame) -> None:
    layers = sorted(curves["layer"].unique())
    for number, (name, label) in enumerate(REMOVALS.items()):
        part = curves[curves["series"].str.endswith(f", {name}")].sort_values("layer")
        error = [part["value"] - part["ci_low"], part["ci_high"] - part["value"]]
        place = [i + 0.2 * (number - 1.5) for i in range(len(layers))]
        ax.bar(place, part["value"], 0.19, yerr=error, color=COLOURS[name], label=label, error_kw={"linewidth": 0.8})
    ax.axhline(0, color="0.4", linewidth=0.8)
    shown = plots.thinned(layers)
    ax.set_xticks(range(len(layers))[shown], layers[shown])
    ax.set_xlabel("layer at which the state is edited")


def lines(ax: Axes, curves: pd.DataFrame, ylabel: str, title: str) -> None:
    """One line with its band per series; the random twin's are dotted and have no band of their own colour."""
    for (weights, name), part in curves.groupby(["weights", "series"], sort=False):
        trained = weights == "measured"
        colour = COLOURS.get(str(name), plots.BLACK)
        ax.plot(part["layer"], part["value"], color=colour, linestyle="-" if trained else ":",
                label=name if trained else None)  # fmt: skip
        ax.fill_between(part["layer"], part["ci_low"], part["ci_high"], color=colour, alpha=0.2 if trained else 0.08,
                        linewidth=0)  # fmt: skip
    ax.set_xlabel("layer (0 = embeddings)")
    ax.set_ylabel(ylabel)
    plots.whole_numbers(ax.xaxis)
    ax.set_title(title)
    ax.legend(frameon=False, fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.18))


def _of(curves: pd.DataFrame, task: str, names: list[str]) -> pd.DataFrame:
    return curves[(curves["task"] == task) & curves["series"].isin(names)]
