"""The faithfulness stage: the circuit found by `ioi_circuit` (on gpt2 also the published one) is put to the test.

1. Build the prompts; what a knocked-out head writes is its mean over their ABC twins.
2. Run the circuit, the naive circuit, random circuits of the same size, and the same circuit tested otherwise.
3. Take classes, random sets and greedy sets K out of circuit and model (completeness), then head by head (minimality).
4. Turn the signals of the S-inhibition heads round; knock MLPs out; rank heads by gradient.
5. Name S or IO once more; the same with random weights.

Every experiment is a shard: a killed run goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from replications.catalogue.entries import check_decoder
from replications.causal.stack import Stack
from replications.errors import Refusal
from replications.evidence import stats
from replications.evidence.run import Asked, write_run
from replications.evidence.shards import Keep, keep
from replications.files import sha256
from replications.ioi_circuit import stimuli
from replications.ioi_faithfulness import adversarial, circuits, experiments, quantities, tables
from replications.ioi_faithfulness.circuits import Circuit
from replications.ioi_faithfulness.experiments import Found
from replications.models.families import supports
from replications.models.load import Loaded, encoder
from replications.models.twins import measure_twins
from replications.places import upstream
from replications.settings import DATA, room_params
from replications.stimuli.language import LanguageStimuli as Stimuli
from replications.stimuli.language import load_stimuli

ROOM, SOURCE = "ioi_faithfulness", "ioi_circuit"


@dataclass(frozen=True)
class Plan:
    """Circuits by name, all prompts and those dropped by reason; where what is measured is kept until the run ends."""

    tested: dict[str, Circuit]
    text: Stimuli
    made: stimuli.PromptSet
    kept: Keep


def run(*, model: str, language: str, device: str, profile: str, out: Path) -> dict[str, Any]:
    """Write metrics.json, provenance.json and the tables into `out`; returns the metrics."""
    check_decoder(ROOM, model)
    asked = Asked(ROOM, model, language, device, room_params(ROOM, profile), out)
    file = upstream(out, (SOURCE, model, language), "tables/classes.csv")
    with ExitStack() as held:
        first = partial(prepare, text=load_stimuli(language), file=file, asked=asked, held=held)
        twins = measure_twins(asked, first, partial(measure, asked=asked), partial(control, asked=asked))
        plan, tested = twins.plan, twins.plan.tested
        plan.kept.complete()
        tree = trees(twins.measured, twins.control, tested, asked.draws)
        more = {"dropped": plan.made.dropped, "circuit": f"reports/{SOURCE}/{model}/{language}/tables/{file.name}"}
        written = frames(tree, twins.measured, tested, asked.params)
        return write_run(out, tree, written, twins.provenance | more)


def prepare(loaded: Loaded, text: Stimuli, file: Path, asked: Asked, held: ExitStack) -> Plan:
    """Circuits and prompts; what a killed run of the same circuits has left is at hand while `held` is open."""
    tested, grammar = to_test(loaded, asked.language, file), DATA / "stimuli" / f"{asked.language}.yaml"
    kept = held.enter_context(keep(asked.identity(circuit=sha256(file), stimuli=sha256(grammar))))
    return Plan(tested, text, build_prompts(loaded, text, asked.params), kept)


def to_test(loaded: Loaded, language: str, file: Path) -> dict[str, Circuit]:
    """The circuits by name; `file` has the found one. Refuses a model that the engine cannot run."""
    if loaded.entry.kind != "decoder" or not supports(loaded.hf_model):
        family = loaded.hf_model.config.model_type
        raise Refusal(f"{loaded.entry.id}: knock-outs need a decoder of a family that the engine knows, not {family}")
    model = loaded.entry.id
    found = circuits.read_circuit(
        file, n_layers=loaded.entry.n_layers, n_heads=loaded.entry.n_heads,
        made_by=f"replicate run {SOURCE} --model {model} --language {language}",
    )  # fmt: skip
    return {"found": found} | ({"paper": circuits.published()} if model == circuits.PUBLISHED_MODEL else {})


def measure(loaded: Loaded, plan: Plan, asked: Asked) -> dict[str, Any]:
    """Everything on the trained model: the `prompts` measured, arrays by experiment, and `adversarial` ones."""
    params, twins = asked.params, plan.made.prompts
    prompts = twins[: params["n_prompts"]]
    setup = experiments.prepare(Stack(loaded.hf_model), prompts, twins, asked.device)
    arrays: dict[str, dict[str, Found]] = {"model": experiments.of_model(setup, loaded.bridge, plan.kept)}
    for name, circuit in plan.tested.items():
        arrays[name] = experiments.of_circuit(setup, circuit, params, plan.kept, name, asked.device)
    return {"prompts": prompts, "arrays": arrays, "adversarial": _named_more(loaded, plan, asked, "trained")}


def control(twin: Loaded, plan: Plan, asked: Asked) -> dict[str, Found]:
    """Of random weights, step 5 alone: the control of a circuit is chance."""
    return _named_more(twin, plan, asked, "control")


def build_prompts(loaded: Loaded, text: Stimuli, params: Mapping[str, Any]) -> stimuli.PromptSet:
    """`n_means` prompts per template and name order, whose twins are averaged; the first `n_prompts` are measured."""
    groups = len(text.ioi.templates) * len(stimuli.ORDERS)
    n = max(params["n_means"] * groups, params["n_prompts"], params["n_adversarial"])
    return stimuli.build(
        text.ioi, encoder(loaded), prefix=text.answer_prefix, n=n, seed=params["seed"]
    )  # fmt: skip


def _named_more(loaded: Loaded, plan: Plan, asked: Asked, weights: str) -> dict[str, Found]:
    """Behaviour on the first `n_adversarial` prompts by kind, with one of the two named once more."""
    some, text = plan.made.prompts[: asked.params["n_adversarial"]], plan.text
    encode, answers = encoder(loaded), torch.tensor([(p.io_id, p.s_id) for p in some])
    rows = adversarial.encoded(some, text.ioi.mentions, encode, text.answer_prefix)
    stack = Stack(loaded.hf_model)
    makers = {kind: partial(adversarial.behaviour, stack, ids, answers, asked.device) for kind, ids in rows.items()}
    made = plan.kept.under(f"adversarial/{weights}").each(makers, "one of the two named once more")
    return {kind: adversarial.arrays(found) for kind, found in zip(rows, made, strict=True)}


def trees(
    measured: Mapping[str, Any], control: dict[str, Found], tested: Mapping[str, Circuit], draws: Mapping[str, int]
) -> dict[str, Any]:
    """`measured` and `control` of metrics.json. A circuit's control is chance: random circuits of its size."""
    arrays, prompts = measured["arrays"], measured["prompts"]
    weights = stats.resample_weights(len(prompts), **draws)
    more = stats.resample_weights(len(control["base"]["logit_diff"]), **draws)
    whole = quantities.of_model(arrays["model"], weights)
    whole["adversarial"] = adversarial.quantities(measured["adversarial"], more)
    chance: dict[str, Any] = {"adversarial": adversarial.quantities(control, more)}
    for name, circuit in tested.items():
        found, importance = arrays[name], arrays["model"]["importance"]["heads"]
        whole[name] = quantities.of_circuit(found, circuit, importance, prompts, weights)
        chance[name] = quantities.of_chance(found["random"]["circuits"], found["faithfulness"]["model"])
    return {"measured": whole, "control": chance}


def frames(
    tree: Mapping[str, Any], measured: Mapping[str, Any], tested: Mapping[str, Circuit], params: Mapping[str, Any]
) -> dict[str, pd.DataFrame]:
    """The tidy tables by name of their CSV."""
    arrays, whole = measured["arrays"], tree["measured"]
    parts = [
        {
            "faithfulness": tables.faithfulness(name, whole[name]),
            "random_circuits": tables.random_circuits(name, arrays[name]),
            "completeness": tables.completeness(name, circuit, arrays[name], params),
            "minimality": tables.minimality(name, circuit, whole[name]),
        }
        for name, circuit in tested.items()
    ]
    joined = {key: pd.concat([part[key] for part in parts]) for key in parts[0]}
    joined["adversarial"] = tables.adversarial({weights: tree[weights]["adversarial"] for weights in tree})
    joined["prompts"] = tables.prompts(measured["prompts"], {name: arrays[name] for name in tested})
    return joined
