"""Scores beside their baselines and the random twin, densities of features, and training curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from replications.report import plots

if TYPE_CHECKING:
    import pandas as pd

    from replications.evidence.run import Run

COLOURS = {"standard": plots.RED, "topk": plots.BLUE, "batch_topk": plots.GREEN, "pca": plots.GREY, "random": plots.SKY}
LABELS = {"standard": "L1", "topk": "TopK", "batch_topk": "BatchTopK", "pca": "PCA", "random": "random directions"}
SITES = {"resid_pre": "residual stream", "mlp_post": "MLP neurons", "mlp_out": "MLP output"}
WEIGHTS = {"measured": "trained", "control": "random"}


def draw(run: Run, out: Path, title: str) -> None:
    """Write scores, density and training as SVG and PNG into `out`; the text is of many languages, whatever `title`."""
    draw_scores(out / "scores", run.tables["scores"], run.model)
    draw_density(out / "density", run.tables["density"], run.model)
    draw_training(out / "training", run.tables["training"], run.model)


def draw_scores(stem: Path, scores: pd.DataFrame, title: str) -> None:
    """Variance unexplained by form, trained weights and twin, and the share of the loss recovered."""
    panels = [("measured", "fvu", "variance unexplained, trained weights"),
              ("control", "fvu", "variance unexplained, random weights"),
              ("measured", "recovered_zero", "loss recovered over zero ablation"),
              ("measured", "recovered_mean", "loss recovered over mean ablation")]  # fmt: skip
    sites = list(dict.fromkeys(scores["site"]))
    kinds = [kind for kind in LABELS if kind in set(scores["kind"])]
    with plots.drawn(stem, len(panels), width=13, height=3.2) as (figure, axes):
        for ax, (weights, metric, label) in zip(axes, panels, strict=True):
            part = scores[(scores["weights"] == weights) & (scores["metric"] == metric)]
            for i, kind in enumerate(kinds):
                some = part[part["kind"] == kind].set_index("site").reindex(sites).dropna(subset=["value"])
                x = [sites.index(site) + 0.15 * (i - (len(kinds) - 1) / 2) for site in some.index]
                ax.vlines(x, some["ci_low"].astype(float), some["ci_high"].astype(float), color=COLOURS[kind])
                ax.plot(x, some["value"].astype(float), "o", color=COLOURS[kind], markersize=4, label=LABELS[kind])
            ax.set_xticks(range(len(sites)), [SITES[site] for site in sites])
            ax.set_xlim(-0.5, len(sites) - 0.5)
            ax.set_ylim(min(-0.02, ax.get_ylim()[0]), max(1.02, ax.get_ylim()[1]))
            ax.set_title(label)
        plots.beside(axes[-1])
        figure.suptitle(f"How much dictionaries keep of held-out text ({title}; lines: 95 % intervals)")


def draw_density(stem: Path, table: pd.DataFrame, title: str) -> None:
    """Histograms of log10 density, one panel per site and set of weights."""
    panels = [(site, weights) for site in dict.fromkeys(table["site"]) for weights in WEIGHTS]
    with plots.drawn(stem, len(panels), width=3.4 * len(panels), height=3.0) as (figure, axes):
        for ax, (site, weights) in zip(axes, panels, strict=True):
            for kind, label in LABELS.items():
                some = table[(table["site"] == site) & (table["weights"] == weights) & (table["kind"] == kind)]
                if len(some):
                    ax.step(some["log10_density"], some["features"] / some["of"], where="post", color=COLOURS[kind],
                            label=label)  # fmt: skip
            ax.set_xlim(-4.5, 0)
            ax.set_xlabel("log10 of the share of tokens")
            ax.set_title(f"{SITES[site]}, {WEIGHTS[weights]} weights")
        axes[0].set_ylabel("share of features")
        axes[0].legend(frameon=False, fontsize=8)
        figure.suptitle(f"How often features are active ({title})")


def draw_training(stem: Path, table: pd.DataFrame, title: str) -> None:
    """Training loss by block, each seed a line; dashed on random weights."""
    sites = [site for site in SITES if site in set(table["site"])]
    with plots.drawn(stem, len(sites), width=4.5 * len(sites), height=3.0) as (figure, axes):
        for ax, site in zip(axes, sites, strict=True):
            for (weights, kind, seed), some in table[table["site"] == site].groupby(["weights", "kind", "seed"]):
                label = LABELS[kind] if weights == "measured" and seed == some["seed"].min() == 0 else None
                style = "-" if weights == "measured" else "--"
                ax.plot(some["block"] + 1, some["loss"], style, color=COLOURS[kind], label=label, linewidth=1)
            ax.set_xlabel("blocks of the stream")
            ax.set_title(SITES[site])
            plots.whole_numbers(ax.xaxis)
            ax.legend(frameon=False, fontsize=8)
        axes[0].set_ylabel("mean loss of a block")
        figure.suptitle(f"Loss in training ({title}; dashed: dictionaries of random weights)")
