"""Universal Decompositional Semantics on the English Web Treebank (White et al. 2016, 2020): trees and proto-roles.

Two forms of the same annotation: the graphs of the package `decomp` (one JSON file per split), and the CoNLL-U and
JSON-lines files that were extracted from them. Both give the same trees and the same targets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace

from replications.corpora import conllu
from replications.corpora.conllu import Tree
from replications.corpora.edges import Sentence, Target
from replications.errors import Refusal

PROPERTIES = (
    "awareness", "change_of_location", "change_of_possession", "change_of_state", "change_of_state_continuous",
    "existed_after", "existed_before", "existed_during", "instigation", "partitive", "sentient", "volition",
    "was_for_benefit", "was_used",
)  # fmt: skip
_NUMBERED = re.compile(r"(?s:.*)-[0-9]{1,9}")
Edges = dict[str, tuple[Target, ...]]  # sentence id -> proto-role targets


def read_graphs(text: str, name: str, ids: dict[str, dict[str, str]]) -> tuple[tuple[Tree, ...], Edges]:
    """Trees and proto-role targets of one split; `ids` is the package's table from its sentence keys to the treebank's.

    Sentences come in the order of their number in the key. Sentence by sentence, because the file of train has 221 MB.
    """
    read = ((key, _graph(graph, f"{name}, {key}", _ids_of(key, ids, name))) for key, graph in _graphs(text, name))
    found = sorted(read, key=lambda item: int(item[0].rpartition("-")[2]))
    trees = tuple(tree for _, (tree, _) in found)
    return trees, {tree.id: targets for _, (tree, targets) in found if targets}


def read_edges(text: str, name: str, split: str, trees: tuple[Tree, ...]) -> Edges:
    """Proto-role targets of one split out of the extracted JSON lines."""
    lengths = {tree.id: len(tree.words) for tree in trees}
    edges: dict[str, list[Target]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        where = f"{name}, line {number}"
        try:
            row = json.loads(line)
            if row["split"] != split or not set(PROPERTIES) <= row["protoroles"].keys():
                continue
            target = _target(row["pred_head"], row["arg_span"], row["protoroles"])
            sent_id = row["sent_id"]
            length = lengths.get(sent_id, 0)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Refusal(f"{where}: not a predicate-argument pair ({type(error).__name__}: {error})") from None
        ends = (*target.span1, *(target.span2 or ()))
        if max(ends) > length or min(ends) < 0:
            raise Refusal(f"{where}: a span lies outside sentence {sent_id} of {length} words")
        edges.setdefault(sent_id, []).append(target)
    return {sent_id: _in_order(targets) for sent_id, targets in edges.items()}


def read_trees(text: str, name: str) -> tuple[Tree, ...]:
    """Trees of one split out of the extracted CoNLL-U, without what the graphs do not have (comments, lines)."""
    return tuple(_bare(tree) for tree in conllu.read(text, name))


def sentences(trees: tuple[Tree, ...], edges: Edges) -> tuple[Sentence, ...]:
    """The spr2 sentences: those that have a predicate-argument pair."""
    return tuple(Sentence(tree.id, tree.words, edges[tree.id]) for tree in trees if tree.id in edges)


def _target(predicate: int, argument: list[int], values: dict[str, float]) -> Target:
    """span1 is the predicate's head word, span2 the argument from its first word to its last; positions are 1-based.

    A property is a label when its normalised value is above 0: annotators found it likelier than not. (Tenney et al.
    asked for a mean of 4 of 5 in the raw answers.) Properties of other protocols of the data set are left out.
    """
    if not all(isinstance(place, int) for place in (predicate, *argument)):
        raise TypeError("places of words should be whole numbers")
    labels = tuple(name for name in PROPERTIES if values[name] > 0)
    return Target((predicate - 1, predicate), (min(argument) - 1, max(argument)), labels)


def _in_order(targets: list[Target]) -> tuple[Target, ...]:
    return tuple(sorted(targets, key=lambda target: (target.span1, target.span2, target.labels)))


def _bare(tree: Tree) -> Tree:
    return replace(tree, misc=(), lines=(), comments=(), empty=())


def _graphs(text: str, name: str) -> Iterator[tuple[str, dict]]:
    """(key, graph) of every sentence, decoded one at a time."""
    decode, skip = json.JSONDecoder().raw_decode, " \n\r\t,:"
    place = text.find('"data": {') + len('"data": {')
    if place < len('"data": {'):
        raise Refusal(f'{name} should have a member "data" with one graph per sentence')
    try:
        while True:
            while text[place] in skip:
                place += 1
            if text[place] == "}":
                return
            key, place = decode(text, place)
            if not isinstance(key, str):
                raise ValueError("a key in quotes is expected")
            while text[place] in skip:
                place += 1
            graph, place = decode(text, place)
            yield key, graph
    except (ValueError, IndexError, RecursionError) as error:
        raise Refusal(f"{name} is cut off or not JSON, at character {place}: {error}") from None


def _ids_of(key: str, ids: dict[str, dict[str, str]], name: str) -> tuple[str, str]:
    row = ids.get(key)
    if not isinstance(row, dict) or not {"sentence_id", "document_id"} <= row.keys() or not _NUMBERED.fullmatch(key):
        raise Refusal(f"{name}: {key} is missing in the table of sentence ids")
    return row["sentence_id"], row["document_id"]


def _graph(graph: dict, where: str, ids: tuple[str, str]) -> tuple[Tree, tuple[Target, ...]]:
    try:
        nodes = {node["id"]: node for node in graph["nodes"]}
        arcs = list(zip(graph["nodes"], graph["adjacency"], strict=True))
        links_of = {node["id"]: links for node, links in arcs}
        tokens = sorted((node for node in graph["nodes"] if node["type"] == "token"), key=lambda node: node["position"])
        tree = _syntax(tokens, nodes, arcs, ids)
        targets = [target for node, links in arcs for target in _protoroles(node, links, nodes, links_of)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Refusal(f"{where}: not a graph of sentence, tokens and arcs ({type(error).__name__}: {error})") from None
    if [node["position"] for node in tokens] != list(range(1, len(tokens) + 1)) or not all(map(_is_word, tokens)):
        raise Refusal(f"{where}: the tokens' positions are not 1 to {len(tokens)}")
    return tree, _in_order(targets)


def _syntax(tokens: list[dict], nodes: dict[str, dict], arcs: list, ids: tuple[str, str]) -> Tree:
    heads = {
        link["id"]: (node["position"], link["deprel"])
        for node, links in arcs
        for link in links
        if link["domain"] == "syntax" and nodes[link["id"]]["type"] == "token"
    }
    column = {key: tuple(token[key] for token in tokens) for key in ("form", "upos", "xpos")}
    positions, relations = zip(*(heads[token["id"]] for token in tokens), strict=True)
    return Tree(*ids, column["form"], column["upos"], column["xpos"], positions, relations)


def _is_word(token: dict) -> bool:
    return type(token["position"]) is int and all(isinstance(token[key], str) for key in ("form", "upos", "xpos"))


def _protoroles(node: dict, links: list[dict], nodes: dict[str, dict], links_of: dict[str, list]) -> Iterator[Target]:
    """Targets of one predicate."""
    for link in links:
        roles = {name: entry["value"] for name, entry in link.get("protoroles", {}).items()}
        if not set(PROPERTIES) <= roles.keys():
            continue
        (head,) = _words(links_of[node["id"]], nodes, ("head",))
        yield _target(head, _words(links_of[link["id"]], nodes, ("head", "nonhead")), roles)


def _words(links: list[dict], nodes: dict[str, dict], kinds: tuple[str, ...]) -> list[int]:
    """Positions of the words that a predicate or argument is made of."""
    return [nodes[link["id"]]["position"] for link in links if link["domain"] == "interface" and link["type"] in kinds]
