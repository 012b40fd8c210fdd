"""Which corpora stand behind each task of Tenney et al. 2019, and how their annotations become its targets.

The order of a task's sources is the order in which they are tried. A corpus stands in for OntoNotes 5.0 in pos, consts,
entities, srl and coref, and SPR2 for SPR1, so that levels are not comparable with the paper, the order of layers is.

pos        universal tags; xpos the Penn tags that OntoNotes has, on the English Web Treebank
deps       the relation of a gold arc: span1 the dependent, span2 the head; the root is its own head
consts     non-terminals, functions stripped, TOP included; the word level is left out
entities   the type of a gold span: 3 types (uner-ewt) or 10, with pronouns and nested mentions (gum)
srl        predicate and argument; "clean": core and ARGM roles without C- and R-
coref      pairs of mentions of one sentence (gum) or a pronoun and a name (gap), label 1 or 0; label 1 alone is scored
spr2       predicate and argument, 14 properties, any number of which hold (normalised value above 0)
relations  two nominals, 18 directed relations and Other, which is not scored
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from replications.catalogue import datasets
from replications.corpora import brackets, gap, mentions, propbank, semeval, syntax, tagged, treebanks, uds, uner
from replications.corpora.conllu import Tree
from replications.corpora.edges import SPLITS, EdgeTask, Sentence, make_task
from replications.corpora.splits import by_id
from replications.errors import Refusal, Unavailable

Builder = Callable[[str, str], EdgeTask]  # (task, language)


def sources(name: str, language: str = "en") -> list[str]:
    """Names of the corpora that have a task in a language, in the order in which they are tried."""
    if name not in OWN and name not in FROM_TREES:
        raise Refusal(f"unknown task {name!r}: there are {', '.join(dict.fromkeys([*FROM_TREES, *OWN]))}")
    banks = [key for key, bank in treebanks.BANKS.items() if name in bank.tasks and language in bank.languages]
    found = banks + [key for key, (languages, _) in OWN.get(name, {}).items() if language in languages]
    if not found:
        raise Refusal(f"no corpus here has {name} in {language!r}")
    return found


def load_task(name: str, language: str = "en", *, source: str | None = None) -> EdgeTask:
    """A task on open data: pos, xpos, deps, consts, entities, srl, coref, spr2, relations.

    `source` names one of several corpora; without it the first that can be had here. Raises Unavailable when no corpus
    can be had, Refusal on an unknown task, language or source, or on a bad file.
    """
    able = sources(name, language)
    if source is not None and source not in able:
        raise Refusal(f"{name} in {language} comes from {', '.join(able)}, not from {source!r}")
    reasons = []
    for key in able if source is None else [source]:
        try:
            return _build(name, language, key)
        except Unavailable as error:
            reasons.append(str(error))
    raise Unavailable("; ".join(reasons))


def _build(name: str, language: str, key: str) -> EdgeTask:
    if key in OWN.get(name, {}):
        return OWN[name][key][1](name, language)
    bank = treebanks.BANKS[key]
    convert: Callable[[Tree], Sentence] = FROM_TREES[name]
    if name == "deps" and not bank.subtypes:
        convert = _universal_deps
    splits = {split: tuple(map(convert, found)) for split, found in treebanks.trees(key, language).items()}
    return make_task(name, language, splits, corpora=(treebanks.dataset_of(key, language),))


def _universal_deps(tree: Tree) -> Sentence:
    return syntax.deps(tree, subtypes=False)


FROM_TREES = {"pos": syntax.pos, "xpos": syntax.xpos, "deps": syntax.deps}


def _tagged(name: str, language: str) -> EdgeTask:
    """Indonesian, in tags of its own, which are not those of Universal Dependencies."""
    path = datasets.fetch("nlp-id")["dataset_postag.txt"]
    found = tagged.read_columns(datasets.read_text(path), "dataset_postag.txt")
    return make_task(name, language, by_id(found, lambda sentence: sentence.id), corpora=("nlp-id",))


def _propbank(name: str, language: str) -> EdgeTask:
    """consts or srl: PropBank's rows joined with the words of ewt-uds."""
    banks = treebanks.trees("ewt-uds", language)
    rows = _propbank_rows(tuple(sorted(datasets.fetch("ewt-propbank").items())), language)
    convert = propbank.constituents if name == "consts" else propbank.roles
    splits = {s: tuple(convert(*pair) for pair in propbank.join(banks[s], rows, "ewt-propbank")) for s in SPLITS}
    return make_task(name, language, splits, corpora=("ewt-uds", "ewt-propbank"))


@lru_cache(maxsize=1)
def _propbank_rows(items: treebanks.Paths, language: str) -> dict[str, propbank.PropbankRow]:
    """Sentence id -> row, from whichever form the paths are of; read once for both tasks."""
    paths = dict(items)
    if "ewt_propbank.jsonl" in paths:
        return propbank.read_joined(datasets.read_text(paths["ewt_propbank.jsonl"]), "ewt_propbank.jsonl")
    ((file, path),) = items
    trees = [tree for found in treebanks.trees("ewt-uds", language).values() for tree in found]
    return propbank.read_release(path.read_bytes(), file, trees)


def _gum_constituents(name: str, language: str) -> EdgeTask:
    """GUM's own trees, checked word by word against its dependency layer, which names the sentences."""
    paths = datasets.fetch("gum-open")
    splits = {}
    for split, found in treebanks.trees("gum-open", language).items():
        parsed = brackets.penn_file(datasets.read_text(paths[f"{split}.ptb"]), f"{split}.ptb")
        if [tree.words for tree in found] != [tree.words for tree in parsed]:
            raise Refusal(f"gum-open: {split}.ptb and {split}.conllu should hold the same sentences in the same order")
        pairs = zip(found, parsed, strict=True)
        splits[split] = tuple(Sentence(tree.id, tree.words, brackets.targets(other.spans)) for tree, other in pairs)
    return make_task(name, language, splits, corpora=("gum-open",))


def _uner(name: str, language: str) -> EdgeTask:
    paths = datasets.fetch("uner-ewt")
    files = {split: f"{split}.iob2" for split in SPLITS}
    splits = {split: uner.read(datasets.read_text(paths[file]), file) for split, file in files.items()}
    return make_task(name, language, splits, corpora=("uner-ewt",))


def _gum_mentions(corpus: str) -> Builder:
    def build(name: str, language: str) -> EdgeTask:
        convert = mentions.entities if name == "entities" else mentions.coreference
        annotated = treebanks.annotated(corpus, language)
        splits = {split: convert(found) for split, found in annotated.items()}
        dropped: Counter[str] = Counter()
        for found in annotated.values():
            dropped.update(mentions.dropped(found))
        more: dict[str, Any] = {"metric": "f1_of_1", "unscored": ("0",)} if name == "coref" else {}
        return make_task(name, language, splits, corpora=(corpus,), dropped=dict(dropped), **more)

    return build


def _gap(name: str, language: str) -> EdgeTask:
    """GAP's development set is the one to train on (2,000 texts), its validation set (454) is dev."""
    paths = datasets.fetch("gap")
    files = {"train": "gap-development.tsv", "dev": "gap-validation.tsv", "test": "gap-test.tsv"}
    splits = {split: gap.read(datasets.read_text(paths[file]), file) for split, file in files.items()}
    return make_task(name, language, splits, corpora=("gap",), metric="f1_of_1", unscored=("0",))


def _spr2(name: str, language: str) -> EdgeTask:
    banks, edges = treebanks.decompositional(datasets.fetch("ewt-uds"))
    splits = {split: uds.sentences(banks[split], edges[split]) for split in SPLITS}
    return make_task(name, language, splits, corpora=("ewt-uds",), multi_label=True)


def _relations(name: str, language: str) -> EdgeTask:
    paths = datasets.fetch("semeval2010-task8")
    train, test = (semeval.read(datasets.read_text(paths[f]), f) for f in ("TRAIN_FILE.TXT", "TEST_FILE_FULL.TXT"))
    scoring: dict[str, Any] = {"metric": "micro_f1_without_other", "unscored": (semeval.OTHER,)}
    return make_task(name, language, semeval.split(train, test), corpora=("semeval2010-task8",), **scoring)


OWN: dict[str, dict[str, tuple[tuple[str, ...], Builder]]] = {
    "pos": {"nlp-id": (("id",), _tagged)},
    "consts": {"ewt-propbank": (("en",), _propbank), "gum-open": (("en",), _gum_constituents)},
    "entities": {
        "uner-ewt": (("en",), _uner),
        "gum": (("en",), _gum_mentions("gum")),
        "gum-open": (("en",), _gum_mentions("gum-open")),
    },
    "srl": {"ewt-propbank": (("en",), _propbank)},
    "coref": {
        "gum": (("en",), _gum_mentions("gum")),
        "gap": (("en",), _gap),
        "gum-open": (("en",), _gum_mentions("gum-open")),
    },
    "spr2": {"ewt-uds": (("en",), _spr2)},
    "relations": {"semeval2010-task8": (("en",), _relations)},
}
