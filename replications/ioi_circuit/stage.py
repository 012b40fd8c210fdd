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
from pathlib import Path
from typing import Any

import pandas as pd

from replications import progress
from replications.catalogue import datasets
from replications.catalogue.entries import check_decoder
from replications.evidence import shards
from replications.evidence.run import made_by, write_run
from replications.ioi_circuit import published, quantities, stimuli, tables, wang_stimuli
from replications.ioi_circuit.measure import Findings, Stimuli, measure
from replications.models.load import Loaded, encoder, load_model
from replications.settings import room_params
from replications.stimuli.language import LanguageStimuli as Language
from replications.stimuli.language import load_stimuli

ROOM = "ioi_circuit"
PAPER = ("gpt2", "en")  # whose published numbers come from the paper's own prompts
DATASET = "ioi-dataset"
STOP = {" ": ". ", "": "。"}  # ends a sentence, in scripts with and without spaces


def run(*, model: str, language: str, device: str, profile: str, out: Path) -> dict[str, Any]:
    """Write metrics.json, provenance.json and the tables into `out`; returns the metrics."""
    check_decoder(ROOM, model)
    params = room_params(ROOM, profile)
    loaded = load_model(model, device=device)
    sets = prompt_sets(loaded, load_stimuli(language), params)
    provenance = made_by(loaded, params, device) | {"stimuli": {name: _described(name, made) for name,
                                                                              made in sets.items()}}  # fmt: skip
    identity = {"room": ROOM, "model": model, "language": language, "device": device, "params": params,
                "stimuli": {name: _digest(made) for name, made in sets.items()}}  # fmt: skip
    with shards.keep(identity) as keep:
        trained = _measure_all(loaded, sets, params, keep, "trained")
        del loaded  # two models at once would not fit where one just does
        twin = load_model(model, device=device, random_seed=params["seed"])
        few = {name: made.first(params["n_control"]) for name, made in sets.items()}
        control = _measure_all(twin, few, params, keep, "control")
        return _write(out, trained, control, params, provenance, (model, language))


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


def _measure_all(
    loaded: Loaded, sets: Mapping[str, Stimuli], params: Mapping[str, Any], keep: shards.Keep, weights: str
) -> dict[str, Findings]:
    with progress.step(f"{weights} weights"):
        return {
            name: measure(loaded, made, params, lambda shard, make, name=name: keep(f"{weights}/{name}/{shard}", make))
            for name, made in sets.items()
        }


def _write(
    out: Path, trained: Mapping[str, Findings], control: Mapping[str, Findings], params: Mapping[str, Any],
    provenance: dict[str, Any], place: tuple[str, str],
) -> dict[str, Any]:  # fmt: skip
    main = next(iter(trained))
    trees = {"measured": _trees(trained, trained, params), "control": _trees(control, trained, params)}
    found = trained[main]
    if named := published.sets(*place):
        against = quantities.against_published(found.circuit.classes, named, found.shape[0] * found.shape[1])
        trees["measured"]["published"] = against
    heads = pd.concat([tables.head_table(each[main]).assign(weights=name) for name, each in
                       (("measured", trained), ("control", control))])  # fmt: skip
    lens = pd.concat([tables.lens_table(each[main], params["resamples"], params["seed"]).assign(weights=name)
                      for name, each in (("measured", trained), ("control", control))])  # fmt: skip
    made = {
        "classes": tables.class_table(found),
        "heads": heads,
        "lens": lens,
        "prompts": tables.prompt_table(found),
        "attention": tables.attention_table(found),
    }
    write_run(out, trees, made, provenance)
    return trees


def _trees(
    findings: Mapping[str, Findings], trained: Mapping[str, Findings], params: Mapping[str, Any]
) -> dict[str, Any]:
    """The first set's quantities at the top, the others' under their name."""
    trees = {
        name: quantities.tree(
            found, trained[name].circuit.classes, params["resamples"], params["seed"], by_head=findings is trained
        )
        for name, found in findings.items()
    }
    main = next(iter(trees))
    return trees.pop(main) | trees


def _described(name: str, made: Stimuli) -> dict[str, Any]:
    described = {"bos_id": made.bos_id, "prompts": len(made.prompts), "dropped": dict(made.dropped)}
    return described | ({"dataset": datasets.manifest(DATASET)} if name == "paper" else {})


def _digest(made: Stimuli) -> str:
    texts = [(prompt.ids, prompt.abc_ids) for prompt in made.prompts]
    return hashlib.sha256(repr((texts, made.prefixed, made.bos_id)).encode()).hexdigest()
