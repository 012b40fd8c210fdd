"""Concept score against fluency for every method and strength; and the best of each method by concept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from replications.report import plots

if TYPE_CHECKING:
    import pandas as pd

    from replications.evidence.run import Run

COLOURS = {"feature": plots.RED, "difference_of_means": plots.BLUE, "prompt": plots.GREEN, "random": plots.GREY}
LABELS = {"feature": "feature clamped", "difference_of_means": "difference of means", "prompt": "asked in words",
          "random": "random feature clamped"}  # fmt: skip
SCORES = {"lexical": "words of the concept (share)", "likelihood": "what it is about (nats)"}


def draw(run: Run, out: Path, title: str) -> None:
    """Write frontier and concepts as SVG and PNG into `out`; prompts are English whatever `title` says."""
    steering, limit = run.tables["steering"], run.provenance["params"]["limits"]["perplexity"]
    draw_frontier(out / "frontier", steering[steering["weights"] == "measured"], limit, run.model)
    draw_concepts(out / "concepts", run.metrics["measured"], run.model)


def draw_frontier(stem: Path, table: pd.DataFrame, limit: float, title: str) -> None:
    """Gain over the unsteered text against the ratio of perplexities, and against damage; means over concepts."""
    means = _gains(table)
    panels = [("ratio", "lexical"), ("ratio", "likelihood"), ("damage", "likelihood")]
    with plots.drawn(stem, len(panels), width=13, height=3.6) as (figure, axes):
        for ax, (x, y) in zip(axes, panels, strict=True):
            for method, label in LABELS.items():
                part = means.loc[method]
                line = "" if method == "prompt" else "-"  # tries are in no order
                ax.plot(part[x], part[y], marker="o", linestyle=line, color=COLOURS[method], label=label, markersize=4)
                for strength, row in part.iterrows():
                    ax.annotate(f"{strength:g}", (row[x], row[y]), fontsize=6, xytext=(3, 3),
                                textcoords="offset points", color=COLOURS[method])  # fmt: skip
            ax.axhline(0, color="0.6", linewidth=0.8)
            ax.set_ylabel(f"gain: {SCORES[y]}", fontsize=8)
            if x == "ratio":
                plots.log_axis(ax.xaxis)
                ax.axvline(limit, color="0.6", linewidth=0.8, linestyle=":", label="most that counts as fluent")
                ax.set_xlabel("perplexity, over that of the unsteered text")
            else:
                ax.set_xlabel("rise of the loss on unrelated sentences (nats)")
        handles, labels = axes[0].get_legend_handles_labels()
        plots.beside(axes[-1], handles=handles, labels=labels)
        figure.suptitle(f"Concept against fluency ({title}; numbers: strength in multiples of the maximum, or the try)")


def _gains(table: pd.DataFrame) -> pd.DataFrame:
    """Means over concepts by method and strength; `ratio` is the geometric mean of perplexity ratios."""
    plain = table[table["method"] == "none"].set_index("concept")
    own = table[table["method"] != "none"].copy()
    for name in SCORES:
        own[name] -= own["concept"].map(plain[name])
    own["ratio"] = np.log(own["perplexity"] / own["concept"].map(plain["perplexity"]))
    means = own.groupby(["method", "strength"])[[*SCORES, "ratio", "damage"]].mean()
    return means.assign(ratio=np.exp(means["ratio"]))


def draw_concepts(stem: Path, tree: Mapping[str, Any], title: str) -> None:
    """Gain of each method's best fluent strength, on prompts that did not choose it, with 95 % intervals."""
    names = [*tree["concepts"], "all"]
    with plots.drawn(stem, len(SCORES), width=12, height=3.4) as (figure, axes):
        for ax, (score, label) in zip(axes, SCORES.items(), strict=True):
            for i, method in enumerate(LABELS):
                leaves = [*(tree["concepts"][name][method][score] for name in names[:-1]), tree["best"][method][score]]
                x = np.arange(len(names)) + 0.18 * (i - (len(LABELS) - 1) / 2)
                ax.vlines(x, [leaf["ci_low"] for leaf in leaves], [leaf["ci_high"] for leaf in leaves],
                          color=COLOURS[method])  # fmt: skip
                ax.plot(x, [leaf["value"] for leaf in leaves], "o", color=COLOURS[method], markersize=4,
                        label=LABELS[method])  # fmt: skip
            ax.axhline(0, color="0.6", linewidth=0.8)
            ax.axvline(len(names) - 1.5, color="0.8", linewidth=0.8)
            ax.set_xticks(range(len(names)), names)
            ax.set_title(f"gain: {label}")
        plots.beside(axes[-1])
        figure.suptitle(f"The best fluent strength, on prompts that did not choose it ({title}; lines: 95 % intervals)")
