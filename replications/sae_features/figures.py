"""Specificity of the best feature, neuron and random direction by class; neurons and the features they split into."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from replications.report import plots
from replications.sae_features.measure import AtSite
from replications.sae_features.sample import Sample

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
SHOWN = 8  # contexts of the example


def draw(out: Path, tables: Mapping[str, pd.DataFrame], trees: Mapping[str, Any], at: AtSite | None, sample: Sample,
         title: str) -> None:  # fmt: skip
    """Write specificity and, where MLP neurons were measured, splitting as SVG and PNG into `out`."""
    draw_specificity(out / "specificity", tables["specificity"], title)
    if at is not None:
        draw_splitting(out / "splitting", tables["splitting"], trees, at, sample, title)


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


def draw_splitting(
    stem: Path, table: pd.DataFrame, trees: Mapping[str, Any], at: AtSite, sample: Sample, title: str
) -> None:
    """Selectivity of neurons and of the features they split into; means beside controls; the example."""
    with plots.drawn(stem, 3, width=14, height=3.8) as (figure, axes):
        _scatter(axes[0], table)
        _means(axes[1], trees, at.site.name)
        _example(axes[2], at, sample)
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


def _means(ax: Any, trees: Mapping[str, Any], site: str) -> None:
    """Effective number of contexts, neurons beside features."""
    kinds = [kind for kind in STYLE if "splitting" in trees["measured"].get(site, {}).get(kind, {})]
    for i, kind in enumerate(kinds):
        for shift, weights in ((-0.12, "measured"), (0.12, "control")):
            found = trees[weights].get(site, {}).get(kind, {}).get("splitting", {})
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


def _example(ax: Any, at: AtSite, sample: Sample) -> None:
    """Shares of the energy of the example neuron, and of its features, by kind of text (held-out)."""
    shown = [kind for kind in ("standard", "batch_topk", "topk") if kind in at.found and at.found[kind].example]
    if not shown:
        ax.set_title("no neuron lies in unrelated contexts")
        return
    found, basis = at.found[shown[0]], at.found[at.basis]
    part = found.example
    bars = [(f"neuron\n{basis.label(part.unit)}", basis.answers.responses[part.unit])]
    bars += [(f"feature\n{unit}", found.answers.responses[unit]) for unit in part.features[:5]]
    energies = np.array([row**2 / max((row**2).sum(), 1e-30) for _, row in bars])
    order = np.argsort(-energies.max(axis=0), kind="stable")[:SHOWN]
    bottom = np.zeros(len(bars))
    for i, c in enumerate(order):
        ax.bar(range(len(bars)), energies[:, c], bottom=bottom, color=f"C{i}", label=sample.contexts[c], width=0.7)
        bottom += energies[:, c]
    ax.bar(range(len(bars)), 1 - bottom, bottom=bottom, color="0.85", label="others", width=0.7)
    ax.set_xticks(range(len(bars)), [name for name, _ in bars])
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1))
    ax.set_title("the example: what kinds of text its energy lies in")
