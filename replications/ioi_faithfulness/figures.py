"""The paper's figures on any model: faithfulness against chance, completeness, minimality, adversarial prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from replications.report import plots

if TYPE_CHECKING:
    import pandas as pd

    from replications.evidence.run import Run

KINDS = {"random": ("o", plots.PALE, "K: random heads"), "greedy": ("x", plots.BLACK, "K: found by greedy search"),
         "none": ("*", plots.BLACK, "K: nothing")}  # fmt: skip
TEST_COLOURS = {
    "roles_mean": plots.BLUE, "naive": plots.RED, "everywhere_mean": plots.GREEN, "roles_mean_of_two": plots.PURPLE,
    "roles_resample": plots.ORANGE, "everywhere_resample": plots.BLACK,
}  # fmt: skip
TEST_NAMES = {"roles_mean": "the circuit", "naive": "naive circuit", "everywhere_mean": "heads kept at all positions",
              "roles_mean_of_two": "mean over two prompts", "roles_resample": "resample ablation",
              "everywhere_resample": "all positions, resample"}  # fmt: skip
ADVERSARIAL = {"base": "as it is", "extra_s": "subject (S)\nonce more", "extra_io": "other (IO)\nonce more"}
MEASURES = {"logit_diff": "logit difference (IO over S)", "p_io": "P(IO)", "error": "share with S above IO"}


def draw(run: Run, out: Path, title: str) -> None:
    """Write faithfulness, completeness, minimality and adversarial as SVG and PNG into `out`."""
    frames = run.tables
    names = list(dict.fromkeys(frames["faithfulness"]["circuit"]))
    draw_faithfulness(out / "faithfulness", frames["faithfulness"], frames["random_circuits"], names, title)
    draw_completeness(out / "completeness", frames["completeness"], names, title)
    draw_minimality(out / "minimality", frames["minimality"], names, title)
    draw_adversarial(out / "adversarial", frames["adversarial"], title)


def draw_faithfulness(stem: Path, tests: pd.DataFrame, chance: pd.DataFrame, names: list[str], title: str) -> None:
    """Share of F(M) that each way of testing leaves, with its interval, over the spread of random circuits."""
    with plots.drawn(stem, len(names), width=1.5 + 5.5 * len(names), height=3.2) as (figure, axes):
        for ax, name in zip(axes, names, strict=True):
            part, shares = tests[tests["circuit"] == name], chance.loc[chance["circuit"] == name, "share"]
            counts, _, _ = ax.hist(shares, bins=30, color="0.75", label=f"{len(shares)} random circuits")
            tall = np.max(counts)
            for line, row in enumerate(part.itertuples()):
                height = tall * (1.08 + 0.09 * line)
                ax.plot([row.ci_low, row.ci_high], [height, height], color=TEST_COLOURS[row.test], linewidth=1.6)
                ax.plot(row.share, height, "o", color=TEST_COLOURS[row.test], markersize=4, label=TEST_NAMES[row.test])
            ax.axvline(1, color="black", linewidth=0.8, linestyle=":")
            ax.set_xlabel("F(C) / F(M): 0 nothing left, 1 the model")
            ax.set_ylabel("random circuits")
            ax.set_title(f"the {name} circuit, n = {part['n'].iloc[0]} prompts")
        plots.beside(axes[-1])
        figure.suptitle(f"How much of the logit difference a circuit keeps ({title}; lines: 95 % intervals)")


def draw_completeness(stem: Path, sets: pd.DataFrame, names: list[str], title: str) -> None:
    """F(M without K) against F(C without K): a complete circuit has all sets on the diagonal (the paper's figure 6)."""
    ends = [min(0, sets[["model", "inside"]].min().min()), sets[["model", "inside"]].max().max()]
    with plots.drawn(stem, len(names), width=1.5 + 4 * len(names), height=4) as (figure, axes):
        for ax, name in zip(axes, names, strict=True):
            part = sets[sets["circuit"] == name]
            ax.plot(ends, ends, color="0.6", linewidth=0.8)
            for kind, (marker, colour, label) in KINDS.items():
                some = part[part["kind"] == kind]
                ax.scatter(some["model"], some["inside"], s=36 if marker == "*" else 18, color=colour, marker=marker,
                           label=label)  # fmt: skip
            for row in part[part["kind"] == "class"].itertuples():
                ax.scatter(row.model, row.inside, s=26, color=plots.HEADS[row.set], marker="s",
                           label=f"K: {plots.name(row.set)} heads")  # fmt: skip
            ax.set_xlabel("F(M without K)")
            ax.set_ylabel("F(C without K)")
            ax.set_title(f"the {name} circuit")
        plots.beside(axes[-1])
        figure.suptitle(f"A complete circuit would be on the line ({title})")


def draw_minimality(stem: Path, heads: pd.DataFrame, names: list[str], title: str) -> None:
    """What each head adds to the circuit without K, as a share of F(M); the dotted line is the paper's one percent."""
    with plots.drawn(stem, len(names), width=2 + 5.5 * len(names), height=3.4) as (figure, axes):
        for ax, name in zip(axes, names, strict=True):
            part = heads[heads["circuit"] == name].sort_values("score", ascending=False)
            colours = [plots.HEADS[each] for each in part["class"]]
            spread = [(part["score"] - part["ci_low"]).clip(lower=0), (part["ci_high"] - part["score"]).clip(lower=0)]
            ax.bar(range(len(part)), part["score"], yerr=spread, color=colours, error_kw={"linewidth": 0.8})
            ax.set_xticks(range(len(part)), part["head"], rotation=90, fontsize=7)
            ax.axhline(0.01, color="black", linewidth=0.8, linestyle=":")
            ax.set_ylabel("minimality score, share of F(M)")
            ax.set_title(f"the {name} circuit")
            for each in part["class"].unique():
                ax.bar([0], [0], color=plots.HEADS[each], label=plots.name(each))
            if len(part):
                ax.legend(frameon=False, fontsize=7)
        figure.suptitle(f"What each head adds to the circuit ({title}; dotted: the paper's 1 %)")


def draw_adversarial(stem: Path, table: pd.DataFrame, title: str) -> None:
    """Logit difference, P(IO) and error with a person named once more; hollow bars are random weights."""
    with plots.drawn(stem, len(MEASURES), width=9, height=3) as (figure, axes):
        for ax, (measure, name) in zip(axes, MEASURES.items(), strict=True):
            for weights, shift in (("measured", -0.2), ("control", 0.2)):
                part = table[(table["measure"] == measure) & (table["weights"] == weights)]
                places = [i + shift for i in range(len(part))]
                spread = [part["value"] - part["ci_low"], part["ci_high"] - part["value"]]
                look: dict[str, Any] = (
                    {"color": plots.BLUE} if weights == "measured" else {"color": "none", "edgecolor": "0.45"}
                )
                ax.bar(places, part["value"], 0.4, yerr=spread, label=plots.PANELS[weights], **look,
                       error_kw={"linewidth": 0.8})  # fmt: skip
            ax.set_xticks(range(len(ADVERSARIAL)), ADVERSARIAL.values(), fontsize=8)
            ax.axhline(0, color="0.6", linewidth=0.8)
            ax.set_title(name)
        plots.beside(axes[-1])
        figure.suptitle(f"With one of the two persons named once more ({title}, n = {table['n'].iloc[0]})")
