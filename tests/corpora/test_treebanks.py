"""Treebanks by name: which files they are read from, how they are split, and what is refused."""

import pytest

from replications.catalogue.entries import load_datasets
from replications.corpora import conllu, treebanks, uds
from replications.corpora.edges import SPLITS
from replications.errors import Refusal, Unavailable


def test_every_treebank_is_in_the_catalogue_in_each_of_its_languages():
    ids = {
        treebanks.dataset_of(name, language) for name, bank in treebanks.BANKS.items() for language in bank.languages
    }
    assert ids <= load_datasets().keys()
    assert {f"pud-{language}" for language in treebanks.PUD_LANGUAGES} <= ids


def test_a_treebank_with_splits_keeps_them(small, catalogue):
    catalogue["ewt"] = small.splits_of(lambda split: small.dog(f"{split}-1"))
    found = treebanks.trees("ewt", "en")
    assert {split: [tree.id for tree in trees] for split, trees in found.items()} == {s: [f"{s}-1"] for s in SPLITS}


def test_only_openly_licensed_documents_of_gum_are_read(small, catalogue):
    texts = [("news", "GUM_news_a"), ("fiction", "GUM_fiction_b"), ("voyage", "GUM_voyage_c"), ("whow", "GUM_whow_d")]
    catalogue["gum"] = small.splits_of(
        lambda split: "".join(small.dog(f"{split}-{sent_id}", document=document) for sent_id, document in texts)
    )
    found = treebanks.trees("gum", "en")
    assert [tree.id for tree in found["dev"]] == ["dev-news", "dev-voyage"]


def test_a_parallel_treebank_is_split_alike_in_every_language(small, catalogue):
    ids = [f"n{number:05}" for number in range(treebanks.PUD_SENTENCES)]
    for language, order in (("fr", ids), ("de", ids[::-1])):
        catalogue[f"pud-{language}"] = {"test.conllu": "".join(map(small.dog, order))}
    one, other = (treebanks.trees("pud", language) for language in ("fr", "de"))
    assert [len(trees) for trees in one.values()] == [600, 200, 200]
    assert all({tree.id for tree in one[split]} == {tree.id for tree in other[split]} for split in SPLITS)


def test_a_parallel_treebank_of_another_size_is_refused(small, catalogue):
    catalogue["pud-fr"] = {"test.conllu": small.dog("one")}
    with pytest.raises(Refusal, match=r"test.conllu .*has 1000 sentences, not 1"):
        treebanks.trees("pud", "fr")


def test_files_without_splits_are_split_by_hash(small, catalogue):
    catalogue["petrogold"] = {"petrogold.conllu": "".join(small.dog(f"s{number}") for number in range(50))}
    assert [len(trees) for trees in treebanks.trees("petrogold", "pt").values()] == [30, 10, 10]


def test_the_package_and_the_extracted_files_give_the_same_treebank(small, catalogue):
    text = small.splits_of(lambda split: small.dog(f"tale-{split}-0001", document=f"tale-{split}"))
    catalogue["ewt-uds"] = text | {"spr2.jsonl": ""}
    extracted = treebanks.trees("ewt-uds", "en")
    read = {split: conllu.read(text[f"{split}.conllu"], split)[0] for split in SPLITS}
    ids = {f"ewt-{split}-1": {"sentence_id": read[split].id, "document_id": read[split].document} for split in SPLITS}
    graphs = {s: {f"ewt-{s}-1": small.graph(read[s], f"ewt-{s}-1", [])} for s in SPLITS}
    files = {f"{split}.json": small.package(graphs[split]) for split in SPLITS}
    catalogue["ewt-uds"] = files | {"ids.json": uds.json.dumps(ids)}
    assert treebanks.trees("ewt-uds", "en") == extracted


def test_what_is_not_there_is_said(catalogue):
    with pytest.raises(Refusal, match="petrogold is in pt, not in fr"):
        treebanks.trees("petrogold", "fr")
    with pytest.raises(Unavailable, match="pud-fr cannot be had"):
        treebanks.trees("pud", "fr")
