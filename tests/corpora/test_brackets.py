"""Bracketed trees in two notations."""

import pytest

from replications.corpora import brackets
from replications.errors import Refusal

PENN = (
    "(ROOT\n  (S\n    (NP-SBJ=1 (DT The) (NN dog))\n    (VP (VBD barked)\n      (PP-LOC (IN at) (NP (PRP it))))\n"
    "    (. .)))"
)
COLUMNS = "(TOP(S(NP* *) (VP* (PP* (NP*))) *))"


def test_both_notations_give_the_same_constituents():
    one, other = brackets.penn(PENN), brackets.columns(COLUMNS)
    assert brackets.targets(one.spans) == brackets.targets(other.spans)
    found = {(target.labels[0], target.span1) for target in brackets.targets(one.spans)}
    assert found == {("TOP", (0, 6)), ("S", (0, 6)), ("NP", (0, 2)), ("VP", (2, 5)), ("PP", (3, 5)), ("NP", (4, 5))}


def test_words_have_tags_and_no_target_of_their_own():
    tree = brackets.penn(PENN)
    assert tree.words == ("The", "dog", "barked", "at", "it", ".")
    assert tree.tags == ("DT", "NN", "VBD", "IN", "PRP", ".")
    assert "DT" not in {target.labels[0] for target in brackets.targets(tree.spans)}


def test_unary_chains_give_one_target_per_bracket():
    assert brackets.columns("(TOP(S(VP*)))").spans == (("TOP", (0, 1)), ("S", (0, 1)), ("VP", (0, 1)))


def test_escaped_brackets_are_words():
    assert brackets.penn("(NP (-LRB- -LRB-) (NN a-LSB-b) (-RRB- -RRB-))").words == ("(", "a[b", ")")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("(S*))", "was not opened"),
        ("(S*", "not closed"),
        ("(S(NP)*)", r"\(NP\) holds no word"),
        ("x", "neither"),
        ("", "no word"),
    ],
)
def test_columns_that_do_not_fit_are_an_error(text, said):
    with pytest.raises(ValueError, match=said):
        brackets.columns(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("(S (NN a)))", "was not opened"),
        ("(S (NN a)", "not closed"),
        ("(S (NN a) b)", "'b' stands without a tag"),
        ("(S (NP) (NN a))", r"\(NP\) holds no word"),
        ("(S (-NONE- *T*))", "trace"),
    ],
)
def test_trees_that_do_not_fit_are_refused_with_their_lines(text, said):
    with pytest.raises(Refusal, match=f"f.ptb, lines 3-4: .*{said}"):
        brackets.penn_file(f"# newdoc id = d\n(S (NN a))\n{text}\n", "f.ptb")


def test_a_file_holds_one_tree_after_the_other():
    trees = brackets.penn_file(f"# newdoc id = d\n{PENN}\n\n(ROOT (X (# #)))\n", "f.ptb")
    assert [tree.words[-1] for tree in trees] == [".", "#"]
    with pytest.raises(Refusal, match="line 1: a tree that begins with a bracket"):
        brackets.penn_file("no tree\n", "f.ptb")
