"""Treebanks by name and language: fetched, read, checked, split, and kept in memory for the next task."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from replications.catalogue import datasets
from replications.corpora import conllu, mentions, tagged, uds
from replications.corpora.conllu import Tree
from replications.corpora.edges import SPLITS
from replications.corpora.mentions import Annotated
from replications.corpora.splits import by_id
from replications.errors import Refusal

Trees = dict[str, tuple[Tree, ...]]
Paths = tuple[tuple[str, Path], ...]  # files by name, as a key of what has been read
PUD_LANGUAGES = (
    "ar", "cs", "de", "en", "es", "fi", "fr", "gl", "hi", "id", "is", "it", "ja", "ko", "pl", "pt", "ru", "sv", "th",
    "tr", "zh",
)  # fmt: skip
PUD_SENTENCES = 1000


@dataclass(frozen=True)
class Treebank:
    """Where a treebank's trees come from. `subtypes`: whether the labels of deps keep them (nmod:poss)."""

    dataset: str  # an id of the catalogue; {} stands for the language
    languages: tuple[str, ...]
    read: Callable[[dict[str, Path]], Trees]
    tasks: tuple[str, ...] = ("pos", "deps")
    subtypes: bool = True


def trees(name: str, language: str) -> Trees:
    """Split -> trees. Raises Unavailable when the treebank cannot be had, Refusal when its files are not in order."""
    return _read(name, _paths(name, language))


def dataset_of(name: str, language: str) -> str:
    """Catalogue id of a treebank in a language."""
    return BANKS[name].dataset.format(language)


def annotated(name: str, language: str) -> dict[str, tuple[Annotated, ...]]:
    """Split -> trees with their mentions, of a treebank that has them; raises as `trees` does."""
    return _annotated(name, _paths(name, language))


def _paths(name: str, language: str) -> Paths:
    bank = BANKS[name]
    if language not in bank.languages:
        raise Refusal(f"{name} is in {', '.join(bank.languages)}, not in {language}")
    return tuple(sorted(datasets.fetch(dataset_of(name, language)).items()))


@lru_cache(maxsize=4)
def _read(name: str, paths: Paths) -> Trees:
    return BANKS[name].read(dict(paths))


@lru_cache(maxsize=1)
def _annotated(name: str, paths: Paths) -> dict[str, tuple[Annotated, ...]]:
    return {split: tuple(mentions.read(found, f"{split}.conllu")) for split, found in _read(name, paths).items()}


def _split_files(paths: dict[str, Path], keep: Callable[[Tree], bool] = lambda tree: True) -> Trees:
    """A treebank that comes as train.conllu, dev.conllu and test.conllu."""
    read = {split: conllu.read(datasets.read_text(paths[f"{split}.conllu"]), f"{split}.conllu") for split in SPLITS}
    return {split: tuple(filter(keep, found)) for split, found in read.items()}


def parallel(paths: dict[str, Path]) -> Trees:
    """A parallel treebank: 600, 200 and 200 of its 1,000 sentences, the same ones in every language (splits.by_id)."""
    (name, path), *_ = paths.items()
    found = conllu.read(datasets.read_text(path), name)
    if len(found) != PUD_SENTENCES:
        raise Refusal(f"{name} ({path}): a parallel treebank has {PUD_SENTENCES} sentences, not {len(found)}")
    return by_id(found, lambda tree: tree.id)


def _unsplit(paths: dict[str, Path], change: Callable[[Tree], Tree] = lambda tree: tree) -> Trees:
    """A treebank in files without splits: 60, 20 and 20 % of its sentences."""
    found = [tree for name, path in paths.items() for tree in conllu.read(datasets.read_text(path), name)]
    return by_id([change(tree) for tree in found], lambda tree: tree.id)


def decompositional(paths: dict[str, Path]) -> tuple[Trees, dict[str, uds.Edges]]:
    """Trees and proto-role edges of ewt-uds, from whichever of its forms the paths are."""
    return _decompositional(tuple(sorted(paths.items())))


@lru_cache(maxsize=1)
def _decompositional(items: Paths) -> tuple[Trees, dict[str, uds.Edges]]:
    paths = dict(items)
    if "ids.json" in paths:
        ids = _ids(datasets.read_text(paths["ids.json"]))
        read = {s: uds.read_graphs(datasets.read_text(paths[f"{s}.json"]), f"{s}.json", ids) for s in SPLITS}
        return {s: found for s, (found, _) in read.items()}, {s: edges for s, (_, edges) in read.items()}
    found = {s: uds.read_trees(datasets.read_text(paths[f"{s}.conllu"]), f"{s}.conllu") for s in SPLITS}
    lines = datasets.read_text(paths["spr2.jsonl"])
    return found, {s: uds.read_edges(lines, "spr2.jsonl", s, found[s]) for s in SPLITS}


def _ids(text: str) -> dict[str, dict[str, str]]:
    """The package's table of sentence ids."""
    try:
        ids = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refusal(f"ids.json is not valid JSON ({error}): fetch ewt-uds again") from None
    if not isinstance(ids, dict):
        raise Refusal("ids.json should hold a table of sentence ids by key: fetch ewt-uds again")
    return ids


BANKS: dict[str, Treebank] = {
    "ewt-uds": Treebank("ewt-uds", ("en",), lambda paths: decompositional(paths)[0], ("pos", "xpos", "deps")),
    "ewt": Treebank("ewt", ("en",), _split_files, ("pos", "xpos", "deps")),
    "pud": Treebank("pud-{}", PUD_LANGUAGES, parallel, subtypes=False),
    "pud-2.12": Treebank("pud-{}-2.12", ("tr",), parallel, subtypes=False),
    "gum": Treebank("gum", ("en",), partial(_split_files, keep=mentions.is_open)),
    "gum-open": Treebank("gum-open", ("en",), partial(_split_files, keep=mentions.is_open)),
    "petrogold": Treebank("petrogold", ("pt",), _unsplit, subtypes=False),
    "turkish-web": Treebank(
        "turkish-web", ("tr",), partial(_unsplit, change=tagged.join_inflectional_groups), tasks=("pos",)
    ),
}
