"""Specificity of the best feature, neuron and random direction by class; neurons and the features they split into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from replications.report import pages, plots

if TYPE_CHECKING:
    import pandas as pd

    from replications.evidence.run import Run

STYLE = {  # colour, marker, label
    "standard": (plots.RED, "o", "L1 feature"), "topk": (plots.BLUE, "s", "TopK feature"),
    "batch_topk": (plots.GREEN, "^", "BatchTopK feature"), "neuron": (plots.BLACK, "x", "best single neuron"),
    "dimension": (plots.BLACK, "x", "best single dimension"), "random": (plots.SKY, "d", "random direction"),
}  # fmt: skip
SITES = {"mlp_post": "MLP neurons", "resid_pre": "residual stream"}
PANELS = {
    ("proxy", "correlation"): "correlation with how\ntypical a token is of the class",
    ("member", "share_strong"): "share of strong activations\nin the class",
}
NEURONS = "mlp_post"  # the hook point whose units are neurons, which split
SHOWN, BARS = 8, 6  # of the example: contexts, and bars, the neuron's among them
KINDS = {"standard": "L1", "topk": "TopK", "batch_topk": "BatchTopK"}
INTRODUCTION = (
    "Features chosen on training text, and everything else measured on held-out text. For each class of tokens there "
    "is the feature whose activation correlates best with how typical a token is of the class (followed by its "
    "tokens), and the one that correlates best with being in it (followed as such): the best there is, which need not"
    " be good. F1 is the harmonic mean of the share of its active tokens that are in the class and of the share of "
    "the class on which it is active; strongly active is above half of its largest activation in training. Then come "
    "the features that the example neuron falls apart into, and some drawn at random. Contexts are the strongest "
    "ones, at most one of a window, shaded by activation, with the kind of text they come from; those whose strongest"
    " token is not in the class say so. Promoted and suppressed tokens are those whose logits the feature's direction"
    " moves most, by the direct path alone."
)
INDEXED = (
    "One page for each dictionary that was trained at a hook point; below each, its cards and what was measured on "
    "held-out text. Best match means: of all features of that dictionary, chosen on training text."
)


def draw(run: Run, out: Path, title: str) -> None:
    """Write specificity and, where MLP neurons were measured, splitting as SVG and PNG into `out`; and cards/.

    The text is of many languages, whatever `title` says.
    """
    draw_specificity(out / "specificity", run.tables["specificity"], run.model)
    if "splitting" in run.tables:
        draw_splitting(out / "splitting", run, run.model)
    draw_cards(out / "cards", run.tree("cards")["pages"], run.model)


def draw_cards(out: Path, listed: Sequence[Mapping[str, Any]], title: str) -> None:
    """One page per trained dictionary of every hook point, <site>.<kind>.html, and index.html, which leads to them."""
    made = {}
    for page in listed:
        site, kind = page["site"], page["kind"]
        what = f"{site}.{page['layer']}, {KINDS[kind]} dictionary of {page['features']} features"
        made[f"{site}.{kind}.html"] = (f"Features of {title}: {what}", page["cards"])
    for name, (heading, cards) in made.items():
        pages.write_page(out / name, heading, INTRODUCTION, cards)
    pages.write_index(out / pages.INDEX, f"Feature cards of {title}", INDEXED, made)


def draw_specificity(stem: Path, table: pd.DataFrame, title: str) -> None:
    """Correlation and purity by class at every hook point; the random twin's as hollow markers."""
    sites = [site for site in SITES if site in set(table["site"])]
    names = list(dict.fromkeys(table["class"]))
    panels = [(site, *panel) for site in sites for panel in PANELS]
    with plots.drawn(stem, len(panels), width=3.6 * len(panels) + 2, height=0.4 * len(names) + 2) as (
        figure,
        axes,
    ):
        for ax, (site, target, metric) in zip(axes, panels, strict=True):
            some = (table["site"] == site) & (table["target"] == target) & (table["metric"] == metric)
            _markers(ax, table[some], names)
            ax.set_title(f"{SITES[site]}: {PANELS[target, metric]}")
            ax.set_xlim(-0.05, 1.05)
        handles = _legend(axes)
        plots.beside(axes[-1], handles=list(handles.values()))
        figure.suptitle(f"How specific the best unit is to a class ({title}; lines: 95 %; hollow: random weights)")


def _legend(axes: Any) -> dict[str, Any]:
    return {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}


def _markers(ax: Any, part: pd.DataFrame, names: list[str]) -> None:
    kinds = [kind for kind in STYLE if kind in set(part["kind"])]
    for i, kind in enumerate(kinds):
        colour, marker, label = STYLE[kind]
        for weights in ("measured", "control"):
            some = part[(part["kind"] == kind) & (part["weights"] == weights)].dropna(subset=["value"])
            y = np.array([names.index(name) for name in some["class"]]) + 0.14 * (i - (len(kinds) - 1) / 2)
            values = some["value"].astype(float)
            if weights == "measured":
                ax.hlines(y, some["ci_low"].astype(float), some["ci_high"].astype(float), color=colour, linewidth=1)
                ax.plot(values, y, marker, color=colour, markersize=4, label=label)
            elif marker != "x":
                ax.plot(values, y, marker, markerfacecolor="none", markeredgecolor=colour, markersize=4,
                        markeredgewidth=0.6, alpha=0.7)  # fmt: skip
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)


def draw_splitting(stem: Path, run: Run, title: str) -> None:
    """Selectivity of neurons and of the features they split into; means beside controls; the example."""
    with plots.drawn(stem, 3, width=14, height=3.8) as (figure, axes):
        _scatter(axes[0], run.tables["splitting"])
        _means(axes[1], run.metrics)
        _example(axes[2], run.tables["example"])
        figure.suptitle(f"Neurons in unrelated contexts, and the features they fall apart into ({title})")


def _scatter(ax: Any, table: pd.DataFrame) -> None:
    for kind in [kind for kind in ("random", "standard", "topk", "batch_topk") if kind in set(table["kind"])]:
        part = table[table["kind"] == kind]
        ax.plot(part["neuron_selectivity"], part["feature_selectivity"], ".", color=STYLE[kind][0], markersize=3,
                alpha=0.5, label=f"{STYLE[kind][2]}s", rasterized=True)  # fmt: skip
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
    ax.set_xlabel("selectivity of the neuron")
    ax.set_ylabel("mean selectivity of its features")
    ax.legend(frameon=False, fontsize=8, loc="lower right", markerscale=3)


def _means(ax: Any, trees: Mapping[str, Any]) -> None:
    """Effective number of contexts, neurons beside features."""
    kinds = [kind for kind in STYLE if "splitting" in trees["measured"].get(NEURONS, {}).get(kind, {})]
    for i, kind in enumerate(kinds):
        for shift, weights in ((-0.12, "measured"), (0.12, "control")):
            found = trees[weights].get(NEURONS, {}).get(kind, {}).get("splitting", {})
            for metric, colour, marker in (("neuron_contexts", plots.BLACK, "x"),
                                           ("feature_contexts", STYLE[kind][0], STYLE[kind][1])):  # fmt: skip
                leaf = found.get(metric, {"value": None})
                if leaf["value"] is not None:
                    ax.vlines(i + shift, leaf["ci_low"], leaf["ci_high"], color=colour, linewidth=1)
                    hollow = weights == "control" and marker != "x"
                    ax.plot(i + shift, leaf["value"], marker, color=colour, markersize=5,
                            markerfacecolor="none" if hollow else colour)  # fmt: skip
    ax.set_xticks(range(len(kinds)), [STYLE[kind][2].replace(" ", "\n") for kind in kinds])
    ax.set_xlim(-0.5, len(kinds) - 0.5)
    ax.set_ylim(0, None)
    ax.set_title("kinds of text: neurons (x) and their features\n(right of each pair: random weights)")


def _example(ax: Any, table: pd.DataFrame) -> None:
    """Shares of the energy of the example neuron, and of its features, by kind of text (held-out)."""
    if table.empty:
        ax.set_title("no neuron lies in unrelated contexts")
        return
    contexts = list(table["context"].unique())
    bars = [(f"{kind}\n{unit}", part["energy"].to_numpy())
            for (kind, unit), part in table.groupby(["kind", "unit"], sort=False)][:BARS]  # fmt: skip
    energies = np.array([energy for _, energy in bars])
    order = np.argsort(-energies.max(axis=0), kind="stable")[:SHOWN]
    bottom = np.zeros(len(bars))
    for i, c in enumerate(order):
        ax.bar(range(len(bars)), energies[:, c], bottom=bottom, color=f"C{i}", label=contexts[c], width=0.7)
        bottom += energies[:, c]
    ax.bar(range(len(bars)), 1 - bottom, bottom=bottom, color="0.85", label="others", width=0.7)
    ax.set_xticks(range(len(bars)), [name for name, _ in bars])
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1))
    ax.set_title("the example: what kinds of text its energy lies in")
