"""Every cell of the experiment: concept, method, strength, on every prompt; and the damage to unrelated sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from replications import progress
from replications.dictionaries.sae import Dictionary
from replications.dictionaries.seeds import generator
from replications.dictionaries.stream import Site
from replications.errors import Refusal
from replications.evidence.stats import auroc
from replications.models.load import Loaded
from replications.sae_steering import generation, scores
from replications.sae_steering.concepts import Concepts
from replications.sae_steering.directions import Directions
from replications.sae_steering.steer import Push, Steering, add, clamp, none
from replications.sae_steering.texts import bare, tokens_of

METHODS = ("feature", "difference_of_means", "random", "prompt")
NONE = "none"  # the unsteered model
OPENING = "Here is a text.\n"  # before the sentences that test the scores, as prompts are before what is generated


@dataclass(frozen=True)
class Bench:
    """What all cells share. `multiples` are of the feature's maximum; strength k of asking is prefix k."""

    loaded: Loaded
    site: Site
    dictionary: Dictionary
    concepts: Concepts
    directions: Sequence[Directions]
    multiples: Sequence[float]


@dataclass(frozen=True)
class Cell:
    """One way to steer: `concept` and `strength` are indices."""

    method: str
    concept: int = 0
    strength: int = 0


def cells(bench: Bench) -> list[Cell]:
    """The unsteered model first, then every method, concept and strength."""
    concepts, strengths = range(len(bench.concepts.concepts)), range(len(bench.multiples))
    return [Cell(NONE), *(Cell(*each) for each in product(METHODS, concepts, strengths))]


def push(bench: Bench, cell: Cell, item: int) -> Push:
    """What a cell writes into the residual stream; `item` is the prompt or sentence, which has its own random feature.

    At one strength every method has the same budget: the multiple of the feature's maximum, as the length of the write.
    """
    if cell.method in (NONE, "prompt"):
        return none(bench.dictionary.d)
    found = bench.directions[cell.concept]
    target = bench.multiples[cell.strength] * found.scale
    if cell.method == "difference_of_means":
        return add(found.difference, target)
    feature = found.feature if cell.method == "feature" else found.random[item % len(found.random)]
    return clamp(bench.dictionary, feature, target)


def prefix(bench: Bench, cell: Cell) -> str:
    """What a cell puts before the prompt; nothing unless it asks."""
    return bench.concepts.concepts[cell.concept].prefixes[cell.strength] if cell.method == "prompt" else ""


def on_prompts(bench: Bench, params: Mapping[str, Any], n_prompts: int) -> pd.DataFrame:
    """One row per prompt, method, concept and strength: lexical, likelihood, loss, distinct, text.

    `loss` is the unsteered model's, after the prompt alone. The unsteered text has a row per concept.
    """
    prompts = bench.concepts.prompts[:n_prompts]
    uniform = draws(len(prompts), params["new_tokens"], params["seed"])
    work = [(index, cell) for cell in cells(bench) for index in range(len(prompts))]
    parts = [_some(bench, part, prompts, uniform, params) for part in _chunks(work, params["rows"], "texts")]
    return pd.concat(parts, ignore_index=True)


def draws(n_prompts: int, tokens: int, seed: int) -> Float[Tensor, "n t"]:
    """Uniform draws of each prompt, the same for every cell."""
    return torch.stack([torch.rand(tokens, generator=generator("sampling", seed, index)) for index in range(n_prompts)])


def _some(
    bench: Bench, work: Sequence[tuple[int, Cell]], prompts: Sequence[str], uniform: Tensor, params: Mapping[str, Any]
) -> pd.DataFrame:
    """Generate and score one batch."""
    loaded, concepts = bench.loaded, bench.concepts.concepts
    plain = [tokens_of(loaded, prompts[index]) for index, _ in work]
    asked = [tokens_of(loaded, prefix(bench, cell), prompts[index]) for index, cell in work]
    short = [prompts[index] for (index, _), row in zip(work, plain, strict=True) if len(row) < 2]
    if short:
        raise Refusal(f"prompt {short[0]!r} is one token for this model: a prompt should have two or more")
    steering = Steering.of(bench.dictionary, [push(bench, cell, index) for index, cell in work])
    tokens = generation.generate(
        loaded.hf_model, asked, uniform[[index for index, _ in work]], temperature=params["temperature"],
        banned=loaded.tokenizer.all_special_ids, site=bench.site, steering=steering,
    )  # fmt: skip
    reading = generation.judge(loaded.hf_model, plain, tokens, bare(loaded, scores.PROBE), topic_tokens(bench))
    likelihood = scores.likelihood(reading.topics.double().numpy())
    rows = []
    for at, (index, cell) in enumerate(work):
        text = loaded.tokenizer.decode(tokens[at].tolist())
        for c in range(len(concepts)) if cell.method == NONE else (cell.concept,):
            rows.append({
                "prompt": index, "method": cell.method, "concept": concepts[c].name,
                "strength": _strength(bench, cell), "lexical": scores.lexical(text, concepts[c]),
                "likelihood": likelihood[at, c], "loss": float(reading.loss[at]),
                "distinct": scores.distinct(tokens[at].tolist()), "text": text,
            })  # fmt: skip
    return pd.DataFrame(rows)


def _strength(bench: Bench, cell: Cell) -> float:
    """The multiple, or the number of the try; 0 for the unsteered model."""
    if cell.method == NONE:
        return 0.0
    return float(cell.strength + 1) if cell.method == "prompt" else float(bench.multiples[cell.strength])


def topic_tokens(bench: Bench) -> list[list[int]]:
    """First tokens of each concept's topic words, as they stand in running text."""
    return [[bare(bench.loaded, f" {word}")[0] for word in concept.topics] for concept in bench.concepts.concepts]


def damage(bench: Bench, params: Mapping[str, Any]) -> pd.DataFrame:
    """One row per unrelated sentence, method, concept and strength: `rise` of the loss (nats per token)."""
    loaded, sentences = bench.loaded, bench.concepts.neutral.held_out[: params["damage_sentences"]]
    texts = [bare(loaded, sentence) for sentence in sentences]
    work = [(index, cell) for cell in cells(bench) for index in range(len(texts))]
    found: list[float] = []
    for part in _chunks(work, generation.SCORED_AT_ONCE, "damage to other sentences"):
        steering = Steering.of(bench.dictionary, [push(bench, cell, index) for index, cell in part])
        prefixes = [tokens_of(loaded, prefix(bench, cell)) if cell.method == "prompt" else tokens_of(loaded)
                    for _, cell in part]  # fmt: skip
        found += generation.text_loss(loaded.hf_model, prefixes, [texts[index] for index, _ in part], site=bench.site,
                                      steering=steering).tolist()  # fmt: skip
    clean = found[: len(texts)]  # the unsteered cell comes first
    names = bench.concepts.names
    return pd.DataFrame([
        {"sentence": index, "method": cell.method, "concept": names[cell.concept], "strength": _strength(bench, cell),
         "rise": loss - clean[index]}
        for (index, cell), loss in zip(work, found, strict=True) if cell.method != NONE
    ])  # fmt: skip


def validity(bench: Bench) -> pd.DataFrame:
    """Do the scores know a text of the concept when they see one? One row per concept: AUC of both on held-out
    sentences, those of the concept against all others."""
    concepts, loaded = bench.concepts.concepts, bench.loaded
    groups = [*(concept.held_out for concept in concepts), bench.concepts.neutral.held_out]
    texts = [text for group in groups for text in group]
    label = np.array([index for index, group in enumerate(groups) for _ in group])
    start = tokens_of(loaded, OPENING)
    tokens = [bare(loaded, text) for text in texts]
    topics = torch.empty(len(texts), len(concepts))
    for length in sorted(set(map(len, tokens))):
        same = [index for index, row in enumerate(tokens) if len(row) == length]
        topics[same] = generation.judge(
            loaded.hf_model, [start] * len(same), torch.tensor([tokens[index] for index in same]),
            bare(loaded, scores.PROBE), topic_tokens(bench),
        ).topics  # fmt: skip
    likelihood = scores.likelihood(topics.double().numpy())
    rows = []
    for index, concept in enumerate(concepts):
        words = np.array([scores.lexical(text, concept) for text in texts])
        rows.append({"concept": concept.name,
                     "lexical": auroc(words[label == index], words[label != index]),
                     "likelihood": auroc(likelihood[label == index, index], likelihood[label != index, index]),
                     })  # fmt: skip
    return pd.DataFrame(rows)


def _chunks(work: Sequence[Any], size: int, doing: str) -> Iterator[Sequence[Any]]:
    for start in progress.watched(range(0, len(work), size), doing):
        yield work[start : start + size]
