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
from pathlib import Path
from typing import Any

from replications import files
from replications.catalogue.entries import check_decoder
from replications.evidence import shards
from replications.evidence.run import made_by, write_run
from replications.evidence.shards import Keep
from replications.evidence.stats import Array
from replications.models.load import Loaded, load_model
from replications.places import upstream
from replications.rome_editing import evidence, layer_choice
from replications.rome_editing.editing import Damage, Edited, Editor, damage, edit_all, rewrites_by_layer
from replications.rome_editing.plan import Params, Plan, prepare
from replications.settings import DATA, room_params
from replications.stimuli.facts import load_facts

ROOM = "rome_editing"


@dataclass(frozen=True)
class Found:
    """What was measured on one set of weights; damage and rewrites by layer on the trained ones only."""

    lists: dict[str, Edited]
    damage: Damage | None = None
    rewrites: Array | None = None


def run(*, model: str, language: str, device: str, profile: str, out: Path) -> dict[str, Any]:
    """Write metrics.json, provenance.json and the tables into `out`; returns the metrics."""
    check_decoder(ROOM, model)
    params = room_params(ROOM, profile)
    traces = upstream(out, ("rome_tracing", model, language), "tables/facts.csv")
    return measure(model, language, device, params, traces, out)


def measure(model: str, language: str, device: str, params: Params, traces: Path, out: Path) -> dict[str, Any]:
    """The same with params at hand; a killed run goes on after the last batch of edits that it finished."""
    traced, table = layer_choice.read_traces(traces), load_facts(language)
    identity = {"room": ROOM, "model": model, "language": language, "device": device, "params": dict(params),
                "inputs": [files.sha256(file) for file in (traces, *_fact_files(language))]}  # fmt: skip
    with shards.keep(identity) as kept:
        loaded = load_model(model, device=device)
        plan = prepare(loaded, model, language, table, traced, params)
        provenance = made_by(loaded, params, device) | plan.account
        found = {"measured": trained(loaded, plan, params, kept)}
        del loaded  # two models at once would not fit where one just does
        twin = load_model(model, device=device, random_seed=params["seed"])
        found["control"] = control(twin, plan, params, kept)
        return _write(out, found, plan, params, provenance)


def trained(loaded: Loaded, plan: Plan, params: Params, kept: Keep) -> Found:
    """Steps 2 to 5."""
    editor = _editor(loaded, plan, plan.compared, params, kept, "measured")
    lists = {name: edit_all(editor, tasks, plan.layer, name) for name, tasks in plan.lists.items()}
    harmed = damage(editor, lists["facts"], plan.held_out)
    return Found(lists, harmed, rewrites_by_layer(editor, lists["facts"], len(plan.traced), plan.compared))


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


def _write(
    out: Path, found: Mapping[str, Found], plan: Plan, params: Params, provenance: dict[str, Any]
) -> dict[str, Any]:
    resampling = {"resamples": params["resamples"], "seed": params["seed"]}
    trees = {name: evidence.tree(one.lists, resampling) for name, one in found.items()}
    best, facts = found["measured"], found["measured"].lists["facts"]
    trees["measured"] |= evidence.damage_tree(facts, best.damage, resampling)
    by_layer = layer_choice.quantities(best.rewrites, plan.traced, plan.compared, plan.layer, **resampling)
    trees["measured"]["layers"] = by_layer
    tables = {
        "edits": evidence.edit_table({name: one.lists for name, one in found.items()}),
        "scores": evidence.score_table(trees),
        "layers": evidence.layer_table(facts, best.rewrites, plan.traced, plan.compared),
        "layer_curves": evidence.curve_table(by_layer["rewrite"], plan.traced, plan.compared, resampling),
        "sequence": evidence.sequence_table(best.damage),
    }  # fmt: skip
    write_run(out, trees, tables, provenance)
    return trees
