"""Tasks by name: their sources, their order, and what each one scores."""

import json
from types import SimpleNamespace

import pytest
from corpora import test_pairs, test_propbank, test_uds

from replications.catalogue.entries import load_datasets
from replications.corpora import mentions, semeval, tasks
from replications.corpora.edges import SPLITS
from replications.corpora.tasks import load_task
from replications.errors import Refusal, Unavailable

TENNEY = ("pos", "deps", "consts", "entities", "srl", "coref", "spr2", "relations")


@pytest.mark.parametrize("name", [*TENNEY, "xpos"])
def test_every_task_has_a_source_in_english(name):
    assert tasks.sources(name)


def test_every_source_is_named_like_a_dataset_of_the_catalogue():
    own = {key for found in tasks.OWN.values() for key in found}
    assert own <= load_datasets().keys()


def test_the_first_source_that_can_be_had_is_taken(small, catalogue):
    catalogue["ewt"] = small.splits_of(lambda split: small.dog(f"{split}-1"))
    found = load_task("pos")
    assert found.corpora == ("ewt",)
    assert found.labels == ("DET", "NOUN", "PRON", "VERB") == found.scored
    assert load_task("deps").labels == ("det", "nmod:poss", "nsubj", "obj", "root")
    assert load_task("xpos").labels == ("DT", "NN", "PRP$", "VBD")


def test_relations_of_parallel_treebanks_are_the_universal_ones(small, catalogue):
    catalogue["pud-fr"] = {"test.conllu": "".join(small.dog(f"s{number:04}") for number in range(1000))}
    assert load_task("deps", "fr").labels == ("det", "nmod", "nsubj", "obj", "root")


def test_without_any_source_all_reasons_are_given(catalogue):
    with pytest.raises(Unavailable, match="gum cannot be had here; gap cannot be had here; gum-open cannot"):
        load_task("coref")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "sentiment"}, "unknown task 'sentiment': there are pos, xpos, deps, consts"),
        ({"name": "srl", "language": "fr"}, "no corpus here has srl in 'fr'"),
        ({"name": "srl", "source": "gum"}, "srl in en comes from ewt-propbank, not from 'gum'"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(arguments, said):
    with pytest.raises(Refusal, match=said):
        load_task(**arguments)


def put_ewt(small, catalogue, tags=None):
    """One sentence per split, with PropBank's row of ten words for it and one proto-role pair."""
    rows = [f"w{i} NOUN {tag} {i} {'dep' if i else 'root'}" for i, tag in enumerate(tags or test_propbank.TAGS)]
    pair = {"pred_head": 3, "arg_span": [1, 2], "protoroles": test_uds.YES}
    lines = [json.dumps({"split": split, "sent_id": f"tale-{split}-0001"} | pair) for split in SPLITS]
    catalogue["ewt-uds"] = small.splits_of(lambda split: small.sentence(f"tale-{split}-0001", *rows)) | {
        "spr2.jsonl": "\n".join(lines)
    }


def test_consts_and_srl_are_joined_with_their_words(small, catalogue):
    put_ewt(small, catalogue)
    joined = [json.dumps(test_propbank.ROW | {"sent_id": f"tale-{split}-0001"}) for split in SPLITS]
    catalogue["ewt-propbank"] = {"ewt_propbank.jsonl": "\n".join(joined)}
    consts, srl = load_task("consts"), load_task("srl")
    assert consts.corpora == srl.corpora == ("ewt-uds", "ewt-propbank")
    assert (consts.spans, srl.spans, srl.labels) == (1, 2, ("ARG0", "ARG1", "ARGM-DIR"))
    archive = test_propbank.release(**{split: test_propbank.skeleton() for split in SPLITS})
    put_ewt(small, catalogue)
    catalogue["ewt-propbank"] = {"propbank-release.tar.gz": archive}
    assert load_task("consts") == consts
    assert load_task("srl") == srl


def test_proto_roles_have_any_number_of_labels(small, catalogue):
    put_ewt(small, catalogue)
    found = load_task("spr2")
    assert found.labels == ("awareness", "volition")
    assert found.splits["dev"][0].targets[0].span2 == (0, 2)


def test_label_one_alone_is_scored_in_coref(small, catalogue):
    catalogue["gap"] = dict.fromkeys(
        ("gap-development.tsv", "gap-validation.tsv", "gap-test.tsv"), test_pairs.gap_text(test_pairs.ROW)
    )
    found = load_task("coref")
    assert (found.corpora, found.metric, found.labels, found.scored) == (("gap",), "f1_of_1", ("0", "1"), ("1",))


def test_gum_gives_entities_and_pairs_and_is_read_once(small, catalogue, monkeypatch):
    read, real = [], mentions.read
    monkeypatch.setattr(mentions, "read", lambda trees, name: read.append(name) or real(trees, name))
    miscs = ["Entity=(1-person)", "Entity=(2-place)", "_", "_", "Entity=(1-person)"]
    rows = [f"{row} {misc}" for row, misc in zip(small.DOG, miscs, strict=True)]
    catalogue["gum"] = small.splits_of(
        lambda split: "# global.Entity = GRP-etype\n" + small.sentence(split, *rows, document="GUM_news_a")
    )
    entities = load_task("entities")
    assert (entities.corpora, entities.labels) == (("gum",), ("person", "place"))
    assert [target.labels for target in load_task("coref").splits["test"][0].targets] == [("1",)]
    assert read == ["train.conllu", "dev.conllu", "test.conllu"]


def test_gums_trees_must_have_the_words_of_its_sentences(small, catalogue):
    text = small.splits_of(lambda split: small.dog(split, document="GUM_news_a"))
    tree = "(ROOT (S (NP (DT The) (NN dog)) (VP (VBD chased) (NP (PRP$ my) (NN cat)))))"
    catalogue["gum-open"] = text | {f"{split}.ptb": tree for split in SPLITS}
    assert load_task("consts", source="gum-open").labels == ("NP", "S", "TOP", "VP")
    catalogue["gum-open"] = text | {f"{split}.ptb": tree.replace("cat", "cow") for split in SPLITS}
    with pytest.raises(Refusal, match=r"train.ptb and train.conllu should hold the same sentences"):
        load_task("consts", source="gum-open")


def test_other_is_a_relation_that_is_not_scored(catalogue, monkeypatch):
    monkeypatch.setattr(semeval, "DEV", 1)
    catalogue["semeval2010-task8"] = dict.fromkeys(("TRAIN_FILE.TXT", "TEST_FILE_FULL.TXT"), test_pairs.RECORDS)
    found = load_task("relations")
    assert found.metric == "micro_f1_without_other"
    assert (found.labels, found.scored) == (("Cause-Effect(e1,e2)", "Other"), ("Cause-Effect(e1,e2)",))


def test_tags_in_columns_are_split_by_hash(catalogue):
    catalogue["nlp-id"] = {"dataset_postag.txt": "Saya\tPR\nlari\tvb\n\n" * 10}
    found = load_task("pos", "id")
    assert SimpleNamespace(**found.splits).train[0].words == ("Saya", "lari")
    assert [len(part) for part in found.splits.values()] == [6, 2, 2]


def test_universal_ner_is_read_from_three_files(catalogue):
    catalogue["uner-ewt"] = {f"{split}.iob2": test_pairs.IOB2 for split in SPLITS}
    found = load_task("entities")
    assert (found.corpora, found.labels) == (("uner-ewt",), ("LOC", "ORG", "PER"))
