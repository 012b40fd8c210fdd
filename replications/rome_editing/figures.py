"""Scores by method beside the random twin's, layers against tracing, and the decay along a sequence of edits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from replications.report import plots

if TYPE_CHECKING:
    import pandas as pd

    from replications.evidence.run import Run

SHOWN = {"ES": "efficacy (ES)", "PS": "paraphrase (PS)", "NS": "neighbourhood (NS)", "S": "all three (S)"}
LABELS = {"base": "unedited", "rome": "ROME (as released)", "r_rome": "r-ROME", "random_direction": "random value"}
COLOURS = {"base": plots.GREY, "rome": plots.RED, "r_rome": plots.BLUE, "random_direction": plots.BLACK,
           "rewrite": plots.RED, "tracing": plots.BLUE}  # fmt: skip


def draw(run: Run, out: Path, title: str) -> None:
    """Write scores, layers and sequence as SVG and PNG into `out`."""
    tables, scores = run.tables, run.tables["scores"]
    for name in scores["list"].unique():
        stem = out / ("scores" if name == "facts" else f"scores_{name}")
        what = f"What rank-one edits of {name} do"
        draw_scores(stem, scores[scores["list"] == name], f"{what} ({title}; bars: 95 % intervals)")
    draw_layers(out / "layers", tables["layer_curves"], tables["layers"], run.provenance["layer"], title)
    draw_sequence(out / "sequence", tables["sequence"], title)


def draw_scores(stem: Path, scores: pd.DataFrame, title: str) -> None:
    """Points with their intervals by score and method, trained beside random weights."""
    with plots.drawn(stem, 2, width=11, height=3.4) as (figure, axes):
        for ax, (weights, label) in zip(axes, plots.PANELS.items(), strict=True):
            part = scores[(scores["weights"] == weights) & scores["score"].isin(list(SHOWN))]
            for i, (method, name) in enumerate(LABELS.items()):
                some = part[part["method"] == method].set_index("score").reindex(list(SHOWN)).dropna(subset=["value"])
                x = [list(SHOWN).index(score) + 0.16 * (i - 1.5) for score in some.index]
                ax.vlines(x, some["ci_low"], some["ci_high"], color=COLOURS[method], linewidth=1.5)
                ax.plot(x, some["value"], "o", color=COLOURS[method], markersize=4, label=name)
            ax.set_xticks(range(len(SHOWN)), [name.replace(" (", "\n(") for name in SHOWN.values()])
            ax.set_ylim(-0.03, 1.03)
            ax.set_title(f"{label}, n = {part['n'].max()}")
        axes[0].set_ylabel("share of prompts (S: harmonic mean)")
        plots.beside(axes[-1])
        figure.suptitle(title)


def draw_layers(stem: Path, curves: pd.DataFrame, facts: pd.DataFrame, layer: int, title: str) -> None:
    """Rewrite score and tracing effect by layer; at the default layer one against the other, a point per fact."""
    with plots.drawn(stem, 2, width=9, height=3.4) as (figure, axes):
        for quantity, name in (("rewrite", "rewrite score"), ("tracing", "tracing effect")):
            some = curves[curves["quantity"] == quantity]
            axes[0].plot(some["layer"], some["value"], "o-", color=COLOURS[quantity], label=name, markersize=4)
            axes[0].fill_between(some["layer"], some["ci_low"], some["ci_high"], color=COLOURS[quantity], alpha=0.2,
                                 linewidth=0)  # fmt: skip
        axes[0].axvline(layer, color="0.6", linewidth=0.8, linestyle=":")
        axes[0].axhline(0, color="0.6", linewidth=0.8)
        axes[0].set_xlabel("layer (dotted: ROME's)")
        axes[0].set_ylabel("share of what is possible")
        plots.whole_numbers(axes[0].xaxis)
        axes[0].legend(frameon=False, fontsize=8)
        for at, part in facts.groupby("layer"):
            axes[1].plot(part["tracing"], part["rewrite"], "o", markersize=4, alpha=1 if at == layer else 0.6,
                         label=f"edited at layer {at}")  # fmt: skip
        axes[1].set_xlabel("tracing effect of a fact at the layer")
        axes[1].set_ylabel("rewrite score after an edit there")
        axes[1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.02, 1))
        n = facts["fact"].nunique()
        figure.suptitle(f"Where tracing points and where edits work ({title}, n = {n} facts)")


def draw_sequence(stem: Path, table: pd.DataFrame, title: str) -> None:
    """ES of all edits so far, loss on held-out text, size of the change, against the number of edits in one weight."""
    panels = {"ES": "efficacy of the edits so far", "nll_increase": "rise of the loss on other text,\nnats per token",
              "norm": "size of the change,\nover that of the weight"}  # fmt: skip
    with plots.drawn(stem, 3, width=10, height=3.2) as (figure, axes):
        for ax, (column, label) in zip(axes, panels.items(), strict=True):
            for variant, part in table.groupby("variant", sort=False):
                ax.plot(part["edits"], part[column], "o-", color=COLOURS[variant], markersize=4, label=LABELS[variant])
            ax.set_xlabel("edits")
            ax.set_title(label)
            plots.whole_numbers(ax.xaxis)
        axes[0].set_ylim(-0.03, 1.03)
        plots.beside(axes[-1])
        figure.suptitle(f"Edit after edit of one weight ({title})")
