"""Fixtures of small corpora: this project's own sentences in every format that is read, and datasets that hold them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from replications.catalogue import datasets, sources, store
from replications.corpora.conllu import Tree

SPLITS = ("train", "dev", "test")
WALK = "1\tShe\tshe\tPRON\tPRP\t_\t2\tnsubj\t_\t_\n2\tsings\tsing\tVERB\tVBZ\t_\t0\troot\t_\t_\n"


@pytest.fixture(scope="session")
def small():
    """The builders of this file."""
    return sys.modules[__name__]


@pytest.fixture
def catalogue(tmp_path, monkeypatch):
    """Put files under dataset ids: `catalogue["ewt"] = {"train.conllu": text, ...}`. Every other dataset is absent."""
    return Shelf(tmp_path, monkeypatch)


class Shelf(dict):
    """Datasets by id; a text is written to a file when it is put here, and fetched from there."""

    def __init__(self, folder: Path, monkeypatch):
        super().__init__()
        self.folder = folder
        monkeypatch.setattr(datasets, "fetch", self.fetch)

    def __setitem__(self, dataset: str, contents: dict[str, str | bytes]) -> None:
        paths = {}
        for name, content in contents.items():
            paths[name] = self.folder / dataset / name
            paths[name].parent.mkdir(exist_ok=True)
            paths[name].write_bytes(content if isinstance(content, bytes) else content.encode())
        super().__setitem__(dataset, paths)

    def fetch(self, dataset: str) -> dict[str, Path]:
        if dataset not in self:
            raise datasets.Unavailable(f"{dataset} cannot be had here")
        return self[dataset]


@pytest.fixture
def real(monkeypatch):
    """Skip unless all these datasets are in the cache or the mirror; nothing is downloaded by a test."""

    def require(*ids: str) -> None:
        for dataset in ids:
            listed = datasets.find(dataset).sources
            if not any(sources.is_local(source, store.cache_root()) for source in listed):
                pytest.skip(
                    f"{dataset} is not here: `replicate fetch {dataset}`, or {store.MIRROR}, makes this test run"
                )

    return require


def sentence(sent_id: str, *rows: str, document: str = "") -> str:
    """A CoNLL-U sentence; a row is "form upos xpos head relation [misc]", numbered here."""
    lines = [f"# newdoc id = {document}"] if document else []
    lines.append(f"# sent_id = {sent_id}")
    for number, row in enumerate(rows, start=1):
        form, upos, xpos, head, relation, *misc = row.split()
        lines.append(
            f"{number}\t{form}\t{form.lower()}\t{upos}\t{xpos}\t_\t{head}\t{relation}\t_\t{(misc or ['_'])[0]}"
        )
    return "\n".join(lines) + "\n\n"


DOG = (
    "The DET DT 2 det",
    "dog NOUN NN 3 nsubj",
    "chased VERB VBD 0 root",
    "my PRON PRP$ 5 nmod:poss",
    "cat NOUN NN 3 obj",
)


def dog(sent_id: str, **fields) -> str:
    """The dog chased my cat."""
    return sentence(sent_id, *DOG, **fields)


def splits_of(text_of) -> dict[str, str]:
    """train.conllu, dev.conllu and test.conllu, each the text that `text_of(split)` gives."""
    return {f"{split}.conllu": text_of(split) for split in SPLITS}


def graph(tree: Tree, key: str, pairs: list[tuple[int, list[int], dict[str, float]]]) -> dict:
    """The tree as a graph of the package decomp, with a predicate and an argument per (head, words, proto-roles)."""
    nodes, arcs = [], {}
    for place, word in enumerate(tree.words, start=1):
        tags = {"form": word, "upos": tree.upos[place - 1], "xpos": tree.xpos[place - 1]}
        nodes.append({"id": f"{key}-syntax-{place}", "type": "token", "position": place, "domain": "syntax"} | tags)
    nodes.append({"id": f"{key}-root-0", "type": "root", "position": 0, "domain": "root"})
    for place, (head, relation) in enumerate(zip(tree.heads, tree.relations, strict=True), start=1):
        above = f"{key}-root-0" if head == 0 else f"{key}-syntax-{head}"
        link = {"domain": "syntax", "type": "dependency", "deprel": relation, "id": f"{key}-syntax-{place}"}
        arcs.setdefault(above, []).append(link)
    for number, (head, words, values) in enumerate(pairs):
        predicate, argument = f"{key}-semantics-pred-{number}", f"{key}-semantics-arg-{number}"
        nodes += [{"id": name, "type": "predicate", "domain": "semantics"} for name in (predicate, argument)]
        roles = {name: {"value": value, "confidence": 1.0} for name, value in values.items()}
        arcs[predicate] = [_interface(key, head, "head"), {"domain": "semantics", "id": argument, "protoroles": roles}]
        arcs[argument] = [_interface(key, word, "head" if i == 0 else "nonhead") for i, word in enumerate(words)]
    return {"nodes": nodes, "adjacency": [arcs.get(node["id"], []) for node in nodes]}


def _interface(key: str, word: int, kind: str) -> dict:
    return {"domain": "interface", "type": kind, "id": f"{key}-syntax-{word}"}


def package(graphs: dict[str, dict]) -> str:
    """The JSON file of a split in the package."""
    return json.dumps({"metadata": {"some": {"data": 1}}, "data": graphs})
