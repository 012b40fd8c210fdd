"""Rank-one editing (ROME, Meng et al. 2022) and whether tracing picks the layer (Hase et al. 2023).

1. Take facts that the model knows, and for each another object of the same relation, drawn by a seed.
2. Collect the second moments of the MLPs' keys over public-domain books, all edited layers in one pass.
3. Find each fact's new value, write it into one layer's weight by a rank-one update, score CounterFact's prompts:
   ROME as released, r-ROME (one key throughout), a random value of the same size, and the unedited model.
4. Measure held-out text after each single edit, and along a sequence of edits in one weight.
5. Edit the same facts at other layers; regress the rewrite score on the layer and on the fact's tracing effect there.
6. The same edits with random weights: what they show too is no finding about the trained model.
On the paper's own models steps 3 and 6 a second time, on CounterFact (`paper`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from replications import files
from replications.catalogue.entries import check_decoder
from replications.evidence import shards
from replications.evidence.run import Asked, write_run
from replications.evidence.shards import Keep
from replications.evidence.stats import Array
from replications.models.load import Loaded
from replications.models.twins import measure_twins
from replications.places import upstream
from replications.rome_editing import evidence, layer_choice
from replications.rome_editing.editing import Damage, Edited, Editor, damage, edit_all, rewrites_by_layer
from replications.rome_editing.plan import Params, Plan, prepare
from replications.settings import DATA, room_params
from replications.stimuli.facts import load_facts

ROOM = "rome_editing"


@dataclass(frozen=True)
class Found:
    """What was measured on either set of weights."""

    lists: dict[str, Edited]


@dataclass(frozen=True)
class FoundOnTrained(Found):
    """What was measured on the trained weights: also damage, and rewrites by layer."""

    damage: Damage
    rewrites: Array


def run(*, model: str, language: str, device: str, profile: str, out: Path) -> dict[str, Any]:
    """Write metrics.json, provenance.json and the tables into `out`; returns the metrics.

    A killed run goes on after the last batch of edits that it finished.
    """
    check_decoder(ROOM, model)
    asked = Asked(ROOM, model, language, device, room_params(ROOM, profile), out)
    traces = upstream(out, ("rome_tracing", model, language), "tables/facts.csv")
    traced, table, params = layer_choice.read_traces(traces), load_facts(language), asked.params
    with shards.keep(asked.identity(inputs=[files.sha256(file) for file in (traces, *_fact_files(language))])) as kept:
        twins = measure_twins(
            asked, partial(prepare, model=model, language=language, table=table, traces=traced, params=params),
            partial(measure, params=params, kept=kept), partial(control, params=params, kept=kept),
        )  # fmt: skip
        kept.complete()
        tree = trees(twins.measured, twins.control, twins.plan, asked.draws)
        tables = frames(twins.measured, twins.control, tree, twins.plan, asked.draws)
        return write_run(out, tree, tables, twins.provenance | twins.plan.account)


def measure(loaded: Loaded, plan: Plan, params: Params, kept: Keep) -> FoundOnTrained:
    """Steps 2 to 5."""
    editor = _editor(loaded, plan, plan.compared, params, kept, "measured")
    lists = {name: edit_all(editor, tasks, plan.layer, name) for name, tasks in plan.lists.items()}
    harmed = damage(editor, lists["facts"], plan.held_out)
    return FoundOnTrained(lists, harmed, rewrites_by_layer(editor, lists["facts"], len(plan.traced), plan.compared))


def control(twin: Loaded, plan: Plan, params: Params, kept: Keep) -> Found:
    """Step 6."""
    editor = _editor(twin, plan, [plan.layer], params, kept, "control")
    n = params["n_control"]
    return Found({name: edit_all(editor, tasks[:n], plan.layer, name) for name, tasks in plan.lists.items()})


def _editor(loaded: Loaded, plan: Plan, layers: Sequence[int], params: Params, kept: Keep, name: str) -> Editor:
    options = {"batch": params["batch"], "seed": params["seed"]}
    return Editor.of(loaded.hf_model, plan.text, layers, plan.hp, kept, name, **options)


def _fact_files(language: str) -> list[Path]:
    return [DATA / "facts" / f"{language}.{suffix}" for suffix in ("yaml", "csv")]


def trees(best: FoundOnTrained, twin: Found, plan: Plan, draws: Mapping[str, int]) -> dict[str, Any]:
    """`measured` and `control` of metrics.json."""
    made = {"measured": evidence.tree(best.lists, draws), "control": evidence.tree(twin.lists, draws)}
    made["measured"] |= evidence.damage_tree(best.lists["facts"], best.damage, draws)
    made["measured"]["layers"] = layer_choice.quantities(
        best.rewrites, plan.traced, plan.compared, plan.layer, **draws
    )  # fmt: skip
    return made


def frames(
    best: FoundOnTrained, twin: Found, tree: Mapping[str, Any], plan: Plan, draws: Mapping[str, int]
) -> dict[str, pd.DataFrame]:
    """The tidy tables by name of their CSV."""
    rewrite = tree["measured"]["layers"]["rewrite"]
    return {
        "edits": evidence.edit_table({"measured": best.lists, "control": twin.lists}),
        "scores": evidence.score_table(tree),
        "layers": evidence.layer_table(best.lists["facts"], best.rewrites, plan.traced, plan.compared),
        "layer_curves": evidence.curve_table(rewrite, plan.traced, plan.compared, draws),
        "sequence": evidence.sequence_table(best.damage),
    }
