"""Decompositional semantics: graphs and extracted files give the same trees and the same proto-roles."""

import json
import time

import pytest

from replications.corpora import uds
from replications.corpora.edges import Target
from replications.errors import Refusal

IDS = {f"ewt-dev-{n}": {"sentence_id": f"tale-{n:04}", "document_id": "tale"} for n in (1, 2, 10)}
YES = {name: 1.2 if name in ("awareness", "volition") else -0.4 for name in uds.PROPERTIES}
NONE = {name: 0.0 for name in uds.PROPERTIES}


def conllu_text(small):
    first = small.dog("tale-0001", document="tale")
    return first + small.dog("tale-0002", document="tale") + small.dog("tale-0010", document="tale")


@pytest.fixture
def trees(small):
    return uds.read_trees(conllu_text(small), "dev.conllu")


def pairs_of(tree):
    """A dog that chases knowingly, and a cat of which nothing holds; a pair of another protocol beside them."""
    if tree.id == "tale-0002":
        return []
    return [(3, [5, 4], NONE), (3, [2, 1], YES), (3, [5], {"purpose": 1.0})]


def package_text(small, trees):
    """The sentences of the package, in an order of its own."""
    keys = {tree.id: key for key in IDS for tree in trees if IDS[key]["sentence_id"] == tree.id}
    return small.package({keys[tree.id]: small.graph(tree, keys[tree.id], pairs_of(tree)) for tree in reversed(trees)})


def lines(trees):
    rows = [
        {"split": "dev", "sent_id": tree.id, "pred_head": head, "arg_span": words, "protoroles": values}
        for tree in trees
        for head, words, values in pairs_of(tree)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_both_forms_give_the_same_trees_and_targets(small, trees):
    from_graphs, edges = uds.read_graphs(package_text(small, trees), "dev.json", IDS)
    assert from_graphs == trees
    assert edges == uds.read_edges(lines(trees), "spr2.jsonl", "dev", trees)


def test_a_property_is_a_label_when_its_value_is_above_zero(trees):
    edges = uds.read_edges(lines(trees), "spr2.jsonl", "dev", trees)
    assert edges["tale-0001"] == (
        Target((2, 3), (0, 2), ("awareness", "volition")),
        Target((2, 3), (3, 5), ()),
    )
    assert [sentence.id for sentence in uds.sentences(trees, edges)] == ["tale-0001", "tale-0010"]


def test_other_splits_are_left_out(trees):
    assert uds.read_edges(lines(trees), "spr2.jsonl", "train", trees) == {}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"pred_head": 3', '"pred_head": 30', "line 1: a span lies outside sentence tale-0001 of 5 words"),
        ('"tale-0001"', '"tale-9999"', "line 1: a span lies outside sentence tale-9999 of 0 words"),
        ('"pred_head"', '"head"', "line 1: not a predicate-argument pair"),
        ("{", "[", "line 1: not a predicate-argument pair"),
        ("{", "[" * 100_000, "line 1: not a predicate-argument pair"),
        ('"protoroles": {', '"protoroles": 1, "x": {', "line 1: not a predicate-argument pair"),
        ('"sent_id": "tale-0001"', '"sent_id": []', "line 1: not a predicate-argument pair"),
        ('"pred_head": 3', '"pred_head": 3.0', "line 1: not a predicate-argument pair"),
        ('"pred_head": 3', '"pred_head": -3', "line 1: a span lies outside sentence"),
    ],
)
def test_lines_that_are_out_of_order_are_refused(trees, old, new, said):
    with pytest.raises(Refusal, match=f"spr2.jsonl, {said}"):
        uds.read_edges(lines(trees).replace(old, new, 1), "spr2.jsonl", "dev", trees)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text[: len(text) // 2], "dev.json is cut off or not JSON, at character"),
        (lambda text: text.replace('"data": {"ewt', '"date": {"ewt'), 'should have a member "data"'),
        (lambda text: text.replace("ewt-dev-10", "ewt-dev-11"), "ewt-dev-11 is missing in the table"),
        (lambda text: text.replace('"adjacency"', '"links"'), "dev.json, ewt-dev-10: not a graph"),
        (lambda text: text.replace('"deprel": "root"', '"relation": "root"'), "dev.json, ewt-dev-10: not a graph"),
        (lambda text: text.replace('"position": 5', '"position": 6'), "positions are not 1 to 5"),
        (lambda text: text.replace('"position": 5', '"position": 5.0'), "not a graph|positions are not 1 to 5"),
        (lambda text: text.replace('"form": "dog"', '"form": 7'), "positions are not 1 to 5"),
        (
            lambda text: text.replace('"type": "token"', '"type": "token", "id": []'),
            "dev.json, ewt-dev-10: not a graph",
        ),
        (lambda text: text.replace('"adjacency": [[', '"adjacency": [7, ['), "dev.json, ewt-dev-10: not a graph"),
        (lambda text: text.replace('"data": {"ewt', '"data": {' + "[" * 100_000), "cut off or not JSON, at character"),
        (lambda text: text.replace('"data": {"ewt-dev-10"', '"data": {7'), "not JSON, .*: a key in quotes"),
    ],
)
def test_graphs_that_are_out_of_order_are_refused(small, trees, change, said):
    with pytest.raises(Refusal, match=said):
        uds.read_graphs(change(package_text(small, trees)), "dev.json", IDS)


@pytest.mark.parametrize("ids", [{}, dict.fromkeys(IDS, 7), {key: {"sentence_id": "tale-0001"} for key in IDS}])
def test_a_table_of_ids_that_lacks_a_sentence_is_refused(small, trees, ids):
    with pytest.raises(Refusal, match="ewt-dev-10 is missing in the table of sentence ids"):
        uds.read_graphs(package_text(small, trees), "dev.json", ids)


def test_many_predicates_of_one_sentence_cost_no_more_than_each_alone(small):
    (tree,) = uds.read_trees(small.sentence("tale-0001", *(f"w X X {i} dep" for i in range(3000))), "f")
    text = small.package({"ewt-dev-1": small.graph(tree, "ewt-dev-1", [(i, [i], YES) for i in range(1, 3001)])})
    start = time.process_time()
    _, edges = uds.read_graphs(text, "dev.json", IDS)
    assert len(edges["tale-0001"]) == 3000
    assert time.process_time() - start < 5  # a table of the sentence per predicate takes a minute
