"""One list of facts as a model is traced on it: whom to trace, with which noise, and the traces, kept as shards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from replications.catalogue import datasets
from replications.causal.stack import Stack
from replications.errors import Refusal
from replications.evidence.shards import Keep
from replications.models import families, predict
from replications.models.load import Loaded, encoder
from replications.rome_tracing import causal_tracing, corruption, stimuli
from replications.rome_tracing.effects import Layers
from replications.rome_tracing.stimuli import Pair, Traced
from replications.stimuli.facts import AskedFacts, Fact, KnownFact, ask, load_facts
from replications.stimuli.published_facts import load_known_1000

PAPER = ("gpt2-medium", "gpt2-large", "gpt2-xl")  # what Meng et al. trace, on their own facts; GPT-J the engine lacks
Rows = list[dict[str, Tensor]]
Facts = tuple[Fact, ...]


@dataclass(frozen=True)
class Study:
    """What is traced of a list of `records` facts; the same for the trained weights and for the random twin."""

    name: str
    records: int
    asked: AskedFacts
    facts: list[Traced]
    pairs: list[Pair]

    @property
    def subjects(self) -> list[str]:
        """Of all facts that the model knows, traced or not."""
        return [known.fact.subject for known in self.asked.known]

    def sentences(self, prefix: str) -> list[str]:
        """All facts that could be asked, with their objects."""
        every = (*self.asked.known, *self.asked.unknown)
        return [one.fact.prompt + prefix + one.fact.object for one in every]

    @property
    def counts(self) -> dict[str, Any]:
        """Facts by what became of them."""
        known, unknown = len(self.asked.known), len(self.asked.unknown)
        asked = {"known": known, "unknown": unknown, "dropped": self.asked.dropped}
        return {"records": self.records, **asked, "traced": len(self.facts), "pairs": len(self.pairs)}


@dataclass(frozen=True)
class Measured:
    """Traces of one study on one set of weights: a row per fact and per pair, and the noise that was used."""

    rows: Rows
    pairs: Rows
    scales: dict[str, float]
    layers: Layers


def lists(model: str, language: str) -> dict[str, Facts]:
    """Lists of facts by name: our table's, and on the paper's own models the paper's, in English."""
    found = {"facts": load_facts(language).facts}
    if model in PAPER and language == "en":
        found["paper"] = load_known_1000(datasets.fetch("rome-known-1000")["known_1000.json"]).facts
    return found


def digest(facts: Iterable[Fact]) -> str:
    """Short name of a list's content."""
    return hashlib.sha256(repr(tuple(facts)).encode()).hexdigest()[:16]


def stack_of(loaded: Loaded) -> Stack:
    """The engine on this model. Refuses an encoder and a family that the engine does not know."""
    if loaded.entry.kind != "decoder":
        raise Refusal(f"{loaded.entry.id} is an encoder: causal tracing asks a decoder for its next token")
    if not families.supports(loaded.hf_model):
        family = loaded.hf_model.config.model_type
        raise Refusal(f"{loaded.entry.id}: the engine does not know {family}: it should be added to {families.PLACE}")
    return Stack(loaded.hf_model)


def prepare(name: str, facts: Sequence[Fact], loaded: Loaded, prefix: str, params: Mapping[str, Any]) -> Study:
    """Which facts of a random sample the model knows, and which of those are traced. Refuses fewer than five."""
    encode, sample = encoder(loaded), stimuli.drawn(facts, params["n_asked"], params["seed"])
    asked = stimuli.enough(ask(sample, encode, partial(predict.greedy, loaded), prefix), f"{loaded.entry.id}, {name}")
    return Study(
        name,
        len(facts),
        asked,
        [_traced(one, params) for one in asked.known[: params["n_facts"]]],
        stimuli.pairs(asked.known, encode, params["n_pairs"], params["seed"]),
    )


def _traced(known: KnownFact, params: Mapping[str, Any]) -> Traced:
    return stimuli.prepare(known, params["seed"], every_column=params["every_column"])


def measure(study: Study, loaded: Loaded, prefix: str, params: Mapping[str, Any], kept: Keep, weights: str) -> Measured:
    """Trace the study's facts and pairs; `weights` names the shards and the progress bar.

    The control takes fewer facts and fewer samples of noise: it has only to show what is there without training.
    """
    control = weights == "control"
    limit, samples = (params["n_control"], params["n_control_samples"]) if control else (None, params["n_samples"])
    tracer = _Tracer(study, loaded, prefix, params, samples)
    place = f"{weights}/{study.name}"
    return Measured(
        kept.each({f"{place}/facts/{fact.id}": partial(tracer.fact, fact) for fact in study.facts[:limit]},
                  f"{place}: facts"),
        kept.each({f"{place}/pairs/{pair.id}": partial(tracer.pair, pair) for pair in study.pairs[:limit]},
                  f"{place}: corruptions"),
        tracer.scales,
        Layers(tracer.layers, tracer.stack.n_layers),
    )  # fmt: skip


class _Tracer:
    """A model and its noise, ready for one fact or pair after the other."""

    def __init__(self, study: Study, loaded: Loaded, prefix: str, params: Mapping[str, Any], samples: int) -> None:
        self.stack, self.params, self.samples = stack_of(loaded), params, samples
        self.scales = corruption.scales(loaded, self.stack, study.subjects, study.sentences(prefix))
        self.layers = causal_tracing.sampled_layers(self.stack.n_layers, params["n_layers"])
        self.device = str(next(loaded.hf_model.parameters()).device)

    def fact(self, fact: Traced) -> dict[str, Tensor]:
        subject, others = (self._noise(fact, columns) for columns in (fact.known.subject, fact.others))
        factor = self.scales["text"] / self.scales["subjects"]
        return causal_tracing.trace(self.stack, fact, subject, others, factor, self.layers)

    def pair(self, pair: Pair) -> dict[str, Tensor]:
        fact = _traced(pair.clean, self.params)
        noise = self._noise(fact, pair.clean.subject)
        return causal_tracing.compare_corruptions(self.stack, pair, noise, fact.columns["subject_middle"], self.layers)

    def _noise(self, fact: Traced, columns: Sequence[int]) -> torch.Tensor:
        scale, seed = self.scales["subjects"], self.params["seed"]
        return corruption.added_noise(self.stack, fact, columns, scale, self.samples, seed, self.device)
