"""The circuit stage: find the heads, class by class, on the trained model and on its random twin.

1. Build prompts and their ABC twins: our grammar's; for the paper's own model first of all the paper's, without BOS.
2. Observe: logit difference, accuracy, P(IO), with and without an unrelated sentence in front; direct attribution by
   layer and head; attention between the names; copying scores; scores on random repeated tokens.
3. Patch paths from the logits back to the names, and let the rules in classes.py say who belongs to which class.
4. The same with random weights; what members of a class are said to do is asked of the same heads there.
5. Where sets of heads are published for this model, compare.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from replications.catalogue import datasets
from replications.catalogue.entries import check_decoder
from replications.evidence import shards
from replications.evidence.run import Asked, by_weights, write_run
from replications.ioi_circuit import measure as one_set
from replications.ioi_circuit import published, quantities, stimuli, tables, wang_stimuli
from replications.ioi_circuit.measure import Findings, Stimuli
from replications.models.load import Loaded, encoder
from replications.models.twins import measure_twins
from replications.settings import room_params
from replications.stimuli.language import LanguageStimuli as Language
from replications.stimuli.language import load_stimuli

ROOM = "ioi_circuit"
PAPER = ("gpt2", "en")  # whose published numbers come from the paper's own prompts
DATASET = "ioi-dataset"
STOP = {" ": ". ", "": "。"}  # ends a sentence, in scripts with and without spaces
Found = Mapping[str, Findings]  # by set of prompts


@dataclass(frozen=True)
class Plan:
    """Sets of prompts by where they come from, and where what is measured with them is kept until the run ends."""

    sets: dict[str, Stimuli]
    kept: shards.Keep


def run(*, model: str, language: str, device: str, profile: str, out: Path) -> dict[str, Any]:
    """Write metrics.json, provenance.json and the tables into `out`; returns the metrics."""
    check_decoder(ROOM, model)
    asked = Asked(ROOM, model, language, device, room_params(ROOM, profile), out)
    with ExitStack() as held:
        first = partial(prepare, language=load_stimuli(language), asked=asked, held=held)
        twins = measure_twins(
            asked, first, partial(measure, params=asked.params), partial(control, params=asked.params)
        )
        twins.plan.kept.complete()
        found = twins.by_weights
        described = {name: _described(name, made) for name, made in twins.plan.sets.items()}
        tree = trees(found, (model, language), asked.draws)
        return write_run(out, tree, frames(found, asked.draws), twins.provenance | {"stimuli": described})


def prepare(loaded: Loaded, language: Language, asked: Asked, held: ExitStack) -> Plan:
    """Step 1; what a killed run with the same prompts has left is at hand for as long as `held` is open."""
    sets = prompt_sets(loaded, language, asked.params)
    identity = asked.identity(stimuli={name: _digest(made) for name, made in sets.items()})
    return Plan(sets, held.enter_context(shards.keep(identity)))


def prompt_sets(loaded: Loaded, language: Language, params: Mapping[str, Any]) -> dict[str, Stimuli]:
    """Prompts by where they come from. The first set is what the claims are about.

    For the paper's own model that is `paper`: its lists, and no BOS, as its code has it. Everywhere else, and besides,
    it is `ours`, with the BOS policy of the model catalogue.
    """
    sets = {}
    if (loaded.entry.id, language.language) == PAPER:
        (file,) = datasets.fetch(DATASET).values()
        grammar = wang_stimuli.read(datasets.read_text(file), file.name)
        sets["paper"] = _stimuli(dataclasses.replace(loaded, bos_id=None), grammar, language, params)
    return sets | {"ours": _stimuli(loaded, language.ioi, language, params)}


def _stimuli(loaded: Loaded, grammar: stimuli.Grammar, language: Language, params: Mapping[str, Any]) -> Stimuli:
    encode = encoder(loaded)
    made = stimuli.build(grammar, encode, prefix=language.answer_prefix, n=params["n_prompts"], seed=params["seed"])
    sentences = unrelated(language)
    some = made.prompts[: params["n_prefixed"]]
    prefixed = [stimuli.prepended(p, sentences[i % len(sentences)], encode) for i, p in enumerate(some)]
    return Stimuli(made.prompts, prefixed, loaded.bos_id, made.dropped)


def unrelated(language: Language) -> list[str]:
    """Sentences that have nothing to do with the task: where landmarks are, unless one holds a name of the prompts.

    Each comes with what stands between it and the next sentence.
    """
    place, stop = language.location, STOP[language.answer_prefix]
    said = [place.frame.format(subject=landmark.subject) + language.answer_prefix + landmark.city + stop
            for landmark in place.landmarks]  # fmt: skip
    return [sentence for sentence in said if not any(name in sentence for name in language.ioi.names)]


def measure(loaded: Loaded, plan: Plan, params: Mapping[str, Any]) -> dict[str, Findings]:
    """Steps 2 and 3, by set of prompts."""
    return _measure_all(loaded, plan.sets, params, plan.kept, "trained")


def control(twin: Loaded, plan: Plan, params: Mapping[str, Any]) -> dict[str, Findings]:
    """Step 4: the same on fewer prompts."""
    few = {name: made.first(params["n_control"]) for name, made in plan.sets.items()}
    return _measure_all(twin, few, params, plan.kept, "control")


def _measure_all(
    loaded: Loaded, sets: Mapping[str, Stimuli], params: Mapping[str, Any], kept: shards.Keep, weights: str
) -> dict[str, Findings]:
    return {name: one_set.measure(loaded, made, params, kept.under(f"{weights}/{name}")) for name, made in sets.items()}


def trees(found: Mapping[str, Found], place: tuple[str, str], draws: Mapping[str, int]) -> dict[str, Any]:
    """`measured` and `control` of metrics.json, the former with step 5; `place` is model and language."""
    trained, (main, *_) = found["measured"], found["measured"].values()
    made = {name: _tree(findings, trained, draws) for name, findings in found.items()}
    if named := published.sets(*place):
        against = quantities.against_published(main.circuit.classes, named, main.shape[0] * main.shape[1])
        made["measured"]["published"] = against
    return made


def _tree(findings: Found, trained: Found, draws: Mapping[str, int]) -> dict[str, Any]:
    """The first set's quantities at the top, the others' under their name."""
    made = {
        name: quantities.tree(one, trained[name].circuit.classes, **draws, by_head=findings is trained)
        for name, one in findings.items()
    }
    return made.pop(next(iter(made))) | made


def frames(found: Mapping[str, Found], draws: Mapping[str, int]) -> dict[str, pd.DataFrame]:
    """The tidy tables by name of their CSV, of the first set of prompts."""
    first = {weights: next(iter(findings.values())) for weights, findings in found.items()}
    return {
        "classes": tables.class_table(first["measured"]),
        "heads": by_weights(first, tables.head_table),
        "lens": by_weights(first, lambda findings: tables.lens_table(findings, **draws)),
        "prompts": tables.prompt_table(first["measured"]),
        "attention": tables.attention_table(first["measured"]),
    }


def _described(name: str, made: Stimuli) -> dict[str, Any]:
    described = {"bos_id": made.bos_id, "prompts": len(made.prompts), "dropped": dict(made.dropped)}
    return described | ({"dataset": datasets.manifest(DATASET)} if name == "paper" else {})


def _digest(made: Stimuli) -> str:
    texts = [(prompt.ids, prompt.abc_ids) for prompt in made.prompts]
    return hashlib.sha256(repr((texts, made.prefixed, made.bos_id)).encode()).hexdigest()
