"""The layer probing stage: what a linear probe reads off every layer of a model, and what that is worth.

1. Words of a treebank: the language's own where params.yaml names one, and with a multilingual model (or without an own
   one) the parallel treebank; in English also words that are noun here and verb there.
2. States of all words at all layers, once. Probes of part of speech and of the word's relation, of a control task and
   of shuffled labels, on every layer and by several seeds; the bits that online coding takes.
3. Noun against verb on unseen word types, and the article's two sentences.
4. On a decoder: remove what such a probe reads off the predicting state, and see what the word's probability loses.
5. The same with random weights (but for 4, whose control is a random subspace).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from replications import progress
from replications.catalogue import entries
from replications.causal.stack import Stack
from replications.evidence import shards
from replications.evidence.run import Asked, write_run
from replications.garbage import uncollected
from replications.layer_probing import causal_check, evidence, minimal_pair, probe_series, stimuli
from replications.layer_probing.evidence import Held, Outcome
from replications.layer_probing.probe_series import Plan
from replications.layer_probing.stimuli import Place, Words
from replications.models.load import Loaded
from replications.models.twins import measure_twins
from replications.probing import wordpieces
from replications.probing.activations import Activations, extract
from replications.probing.threads import side_by_side
from replications.settings import room_params

ROOM = "layer_probing"
ENGLISH = "en"


@dataclass(frozen=True)
class ProbedText:
    """Words by corpus, and in English places of words that are noun here and verb there; read before any model."""

    corpora: dict[str, Words]
    places: list[Place]


def run(*, model: str, language: str, device: str, profile: str, out: Path) -> dict[str, Any]:
    """Write metrics.json, provenance.json and the tables into `out`; returns the metrics."""
    asked = Asked(ROOM, model, language, device, room_params(ROOM, profile), out)
    text = read_text(model, language, asked.params)
    with shards.keep(asked.identity(text=_digest(text))) as kept:
        some = partial(measure, asked=asked, kept=kept)
        first, second = (partial(some, name=name) for name in ("measured", "control"))
        twins = measure_twins(asked, lambda loaded: text, first, second)
        kept.complete()
        tree, tables = evaluate(twins.by_weights, asked.params)
        counts = {name: words.counts for name, words in text.corpora.items()} | twins.measured.counts
        more = {"corpora": {name: list(words.corpora) for name, words in text.corpora.items()}, "counts": counts}
        return write_run(out, tree, tables, twins.provenance | more)


@uncollected()
def read_text(model: str, language: str, params: Mapping[str, Any]) -> ProbedText:
    """Step 1. Raises Unavailable when a corpus cannot be had: what is at hand must not change a number."""
    entry, places = entries.find(model), []
    corpora = {
        name: stimuli.treebank_words(language, source=source, seed=params["seed"], **params[size])
        for name, (source, size) in _sources(params, language, multilingual=len(entry.languages) > 1).items()
    }
    if language == ENGLISH:
        places = stimuli.ambiguous_places(language, source=params["sources"]["own"][ENGLISH], types=params["types"],
                                          seed=params["seed"], prefix=entry.kind == "decoder")  # fmt: skip
    return ProbedText(corpora, places)


def _sources(params: Mapping[str, Any], language: str, *, multilingual: bool) -> dict[str, tuple[str, str]]:
    """Treebank and params section of its size, by corpus: `main`, and `parallel` where that is another one.

    A language without a treebank of its own has the parallel one as `main`; a model of one language needs no other.
    """
    own, same = params["sources"]["own"].get(language), params["sources"]["parallel"]
    parallel = same.get(language, same["else"])
    if own is None:
        return {"main": (parallel, "others")}
    size = "english" if language == ENGLISH else "others"
    return {"main": (own, size)} | ({"parallel": (parallel, "others")} if multilingual else {})


def measure(loaded: Loaded, text: ProbedText, asked: Asked, kept: shards.Keep, name: str) -> Outcome:
    """Every probe of one model; a layer that a killed run has finished is read, not fitted again."""
    params, trained = asked.params, name == "measured"
    seeds, separator = params["seeds" if trained else "control_seeds"], wordpieces.separator(asked.language)
    outcome = Outcome.empty(seeds)
    for part, words in text.corpora.items():
        plan = Plan(params["c"], seeds, params["seed"], bits=part == "main" and bool(text.places))
        found = extract(loaded, words.sentences, pooling="last", separator=separator)
        outcome.series[part] = _probe_words(found, words, plan, kept, f"{name}-{part}")
        outcome.words[part], outcome.counts[f"{part}_alignment"] = Held(words, found.kept), found.counts
    if text.places:
        _measure_pair(loaded, text.places, params, kept, name, outcome)
    return outcome


def _probe_words(found: Activations, words: Words, plan: Plan, kept: shards.Keep, name: str) -> dict[str, NDArray[Any]]:
    made = probe_series.problems(words, found.kept, plan.seed)

    def probed(layer: int) -> dict[str, Tensor]:
        return probe_series.probe_layer(found.layer(layer)[found.kept], made, words, found.kept, plan)

    makers = {f"{name}-{layer:03}": partial(probed, layer) for layer in range(found.n_layers)}
    return probe_series.stacked(kept.each(makers, f"layers probed ({name})", side_by_side))


def _measure_pair(
    loaded: Loaded, places: list[Place], params: Mapping[str, Any], kept: shards.Keep, name: str, outcome: Outcome
) -> None:
    """Noun against verb by layer, and on a trained decoder what removing the difference costs."""
    plan = Plan(params["c"], params["seeds"], params["seed"], bits=False)
    found = extract(loaded, [place.words for place in places], pooling="last")
    own, before, able = _rows(found, places)
    places = [place for place, good in zip(places, able, strict=True) if good]
    outcome.counts["minimal_pair"] = {"words": len(places), "words_lost_by_the_tokenizer": int((~able).sum())}

    def probed(layer: int) -> dict[str, Tensor]:
        return minimal_pair.probe_layer(found.layer(layer)[own], places, plan)

    makers = {f"{name}-pair-{layer:03}": partial(probed, layer) for layer in range(found.n_layers)}
    outcome.pair.update(probe_series.stacked(kept.each(makers, f"layers probed ({name}, the pair)", side_by_side)))
    outcome.types.update({split: [p.type for p in places if p.split == split] for split in ("dev", "test")})
    if name == "measured" and causal_check.has_head(loaded):
        layers = minimal_pair.layers_to_edit(loaded.entry.n_layers, params["edited_layers"])
        with progress.step("removing what the probes read"):
            used = kept(f"{name}-use", lambda: _use(loaded, found, before, places, layers, params, plan))
        outcome.use.update({key: tensor.numpy() for key, tensor in used.items()} | {"layers": np.array(layers)})


def _use(
    loaded: Loaded, found: Activations, before: NDArray[np.int64], places: list[Place], layers: list[int],
    params: Mapping[str, Any], plan: Plan,
) -> dict[str, Any]:  # fmt: skip
    import torch

    states = torch.stack([found.layer(layer)[before] for layer in layers])
    test = [place for place in places if place.split == "test"]
    aligned = wordpieces.align_all([place.words for place in test], loaded)
    first = [one.words[place.index][0] for one, place in zip(aligned, test, strict=True)]
    types = stimuli.unambiguous(ENGLISH, params["sources"]["own"][ENGLISH])
    nouns, verbs = (_single_tokens(some, loaded) for some in types)
    made = causal_check.prompts([one.ids for one in aligned], first, nouns, verbs)
    return minimal_pair.check_use(Stack(loaded.hf_model), made, states, places, layers, rank=params["rank"],
                                  draws=params["draws"], plan=plan)  # fmt: skip


def _single_tokens(types: list[str], loaded: Loaded) -> list[int]:
    """Tokens of the words that are one, in the middle of a text."""
    aligned = wordpieces.align_all([("the", word) for word in types], loaded)
    return [one.ids[start] for one in aligned for start, end in [one.words[1]] if end - start == 1]


def _rows(found: Activations, places: list[Place]) -> tuple[NDArray, NDArray, NDArray[np.bool_]]:
    """Rows of every place's word and of the word before it, and which places have both; rows of those only."""
    own = np.array([found.words(number).start + place.index for number, place in enumerate(places)])
    able = found.kept[own] & found.kept[own - 1]
    return own[able], own[able] - 1, able


def _digest(text: ProbedText) -> str:
    words = [[w.sentences, {k: v.tolist() for k, v in w.labels.items()}] for w in text.corpora.values()]
    return hashlib.sha256((json.dumps(words) + repr(text.places)).encode()).hexdigest()


def evaluate(
    outcomes: Mapping[str, Outcome], params: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """`measured` and `control` of metrics.json, and the tidy tables by name of their CSV."""
    made = {name: evidence.of(outcome, params) for name, outcome in outcomes.items()}
    trees = {name: tree for name, (tree, _) in made.items()}
    curves = evidence.joined({name: frame for name, (_, frame) in made.items()})
    return trees, {"curves": curves, "sentences": evidence.sentence_table(outcomes)}
