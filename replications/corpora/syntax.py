"""Targets that a dependency tree gives: a label per word (pos, xpos), a label per arc (deps)."""

from __future__ import annotations

from replications.corpora.conllu import Tree
from replications.corpora.edges import Sentence, Target


def pos(tree: Tree) -> Sentence:
    """Every word with its universal tag."""
    return _tagged(tree, tree.upos)


def xpos(tree: Tree) -> Sentence:
    """Every word with its language-specific tag: in English that of the Penn Treebank, as in OntoNotes."""
    return _tagged(tree, tree.xpos)


def deps(tree: Tree, *, subtypes: bool = True) -> Sentence:
    """Every arc: span1 is the dependent, span2 its head, the label their relation (Tenney et al. 2019a, Table 1).

    The root is a target too, with itself as its head. Without `subtypes` "nmod:poss" is "nmod", which all languages of
    Universal Dependencies share.
    """
    targets = []
    for index, (head, relation) in enumerate(zip(tree.heads, tree.relations, strict=True)):
        governor = index if head == 0 else head - 1
        label = relation if subtypes else relation.partition(":")[0]
        targets.append(Target((index, index + 1), (governor, governor + 1), (label,)))
    return Sentence(tree.id, tree.words, tuple(targets))


def _tagged(tree: Tree, tags: tuple[str, ...]) -> Sentence:
    return Sentence(tree.id, tree.words, tuple(Target((i, i + 1), None, (tag,)) for i, tag in enumerate(tags)))
