"""The corpora themselves, where they are here: sizes, and that every route gives the same normal form."""

import pytest

from replications.catalogue import datasets, sources, store
from replications.corpora import brackets, conllu, propbank, treebanks, uds, uner
from replications.corpora.edges import SPLITS
from replications.corpora.tasks import load_task
from replications.layer_probing.noun_verb import noun_verb


def files_of(dataset: str, *names: str) -> dict[str, str]:
    """Texts of the source that has these names."""
    entry = datasets.find(dataset)
    source = next(source for source in entry.sources if set(names) <= source.files.keys())
    paths = sources.fetch_source(entry, source, store.cache_root()).files
    return {name: datasets.read_text(paths[name]) for name in names}


def both_here(dataset: str) -> None:
    if not all(sources.is_local(source, store.cache_root()) for source in datasets.find(dataset).sources):
        pytest.skip(f"two forms of {dataset} are compared: `replicate fetch {dataset}` and {store.MIRROR} bring them")


def sizes(task):
    return {split: len(part) for split, part in task.splits.items()}


@pytest.mark.parametrize(
    ("name", "needs", "source", "n_labels", "expected"),
    [
        ("pos", ["ewt-uds"], "ewt-uds", 17, (12543, 2002, 2077)),
        ("deps", ["ewt-uds"], "ewt-uds", 47, (12543, 2002, 2077)),
        ("deps", ["ewt"], "ewt", 52, (12544, 2001, 2077)),
        ("consts", ["ewt-uds", "ewt-propbank"], "ewt-propbank", 29, (12542, 1973, 2060)),
        ("consts", ["gum-open"], "gum-open", 27, (3707, 438, 491)),
        ("srl", ["ewt-uds", "ewt-propbank"], "ewt-propbank", 26, (12542, 1973, 2060)),
        ("spr2", ["ewt-uds"], "ewt-uds", 14, (2191, 291, 276)),
        ("entities", ["gum"], "gum", 10, (3275, 341, 419)),
        ("coref", ["gum"], "gum", 2, (3275, 341, 419)),
        ("coref", ["gap"], "gap", 2, (2000, 454, 2000)),
        ("relations", ["semeval2010-task8"], "semeval2010-task8", 19, (6851, 1149, 2717)),
    ],
)
def test_a_task_has_its_published_size(real, name, needs, source, n_labels, expected):
    real(*needs)
    task = load_task(name, source=source)
    assert sizes(task) == dict(zip(SPLITS, expected, strict=True))
    assert len(task.labels) == n_labels


def test_two_routes_to_decompositional_semantics_agree():
    both_here("ewt-uds")
    graphs, ids = (files_of("ewt-uds", "dev.json", "ids.json")[name] for name in ("dev.json", "ids.json"))
    extracted = files_of("ewt-uds", "dev.conllu", "spr2.jsonl")
    trees, edges = uds.read_graphs(graphs, "dev.json", uds.json.loads(ids))
    assert trees == uds.read_trees(extracted["dev.conllu"], "dev.conllu")
    assert edges == uds.read_edges(extracted["spr2.jsonl"], "spr2.jsonl", "dev", trees)


def test_two_routes_to_gap_agree():
    from replications.corpora import gap

    both_here("gap")
    entry = datasets.find("gap")
    texts = [
        sources.fetch_source(entry, source, store.cache_root()).files["gap-validation.tsv"] for source in entry.sources
    ]
    one, other = (gap.read(datasets.read_text(path), "gap") for path in texts)
    assert one == other


def test_propbank_aligns_with_the_sentences_it_was_aligned_with(real):
    real("ewt-uds", "ewt-propbank")
    text = files_of("ewt-propbank", "ewt_propbank.jsonl")["ewt_propbank.jsonl"]
    rows = propbank.read_joined(text, "ewt_propbank.jsonl")
    documents: dict[str, list[conllu.Tree]] = {}
    for tree in treebanks.trees("ewt-uds", "en")["test"]:
        documents.setdefault(tree.id.rpartition("-")[0], []).append(tree)
    for trees in documents.values():
        expected = {tree.id: rows[tree.id] for tree in trees if tree.id in rows}
        assert propbank.align(list(expected.values()), trees) == expected


@pytest.mark.parametrize("language", treebanks.PUD_LANGUAGES)
def test_parallel_treebanks_have_the_same_sentences_on_each_side(real, language):
    real("pud-en", f"pud-{language}")
    english, other = (treebanks.trees("pud", code) for code in ("en", language))
    assert all({tree.id for tree in english[split]} == {tree.id for tree in other[split]} for split in SPLITS)


def test_gums_two_notations_have_the_same_words(real):
    real("gum-open")
    texts = files_of("gum-open", "test.conllu", "test.ptb")
    trees, parsed = conllu.read(texts["test.conllu"], "conllu"), brackets.penn_file(texts["test.ptb"], "ptb")
    assert [tree.words for tree in trees] == [tree.words for tree in parsed]


def test_universal_ner_has_its_published_mentions():
    index = store.mirror_index()
    entry = datasets.find("uner-ewt").sources[0].files["test.iob2"]
    path = next((index[sha256] for sha256 in (entry.sha256, *entry.also) if sha256 in index), None)
    if path is None:
        pytest.skip(f"the test file of uner-ewt is not here: {store.MIRROR} naming a folder that holds it would do")
    sentences = uner.read(datasets.read_text(path), "test.iob2")
    assert (len(sentences), sum(len(sentence.targets) for sentence in sentences)) == (2077, 1088)


def test_english_has_enough_words_that_are_noun_and_verb(real):
    real("ewt-uds")
    task = noun_verb()
    kinds = [{s.words[s.targets[0].span1[0]].lower() for s in part} for part in task.splits.values()]
    assert sum(map(len, kinds)) == len(set.union(*kinds)) == 867
