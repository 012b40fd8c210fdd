"""Targets of a tree, and splits by id."""

from hypothesis import given
from hypothesis import strategies as st

from replications.corpora import conllu, syntax
from replications.corpora.splits import by_id


def test_every_word_is_a_target_with_its_tag(small):
    (tree,) = conllu.read(small.dog("s"), "f")
    found = syntax.pos(tree)
    assert found.words == tree.words
    assert [(target.span1, target.span2, target.labels) for target in found.targets[:2]] == [
        ((0, 1), None, ("DET",)),
        ((1, 2), None, ("NOUN",)),
    ]
    assert [target.labels[0] for target in syntax.xpos(tree).targets] == ["DT", "NN", "VBD", "PRP$", "NN"]


def test_an_arc_goes_from_the_dependent_to_its_head_and_the_root_to_itself(small):
    (tree,) = conllu.read(small.dog("s"), "f")
    spans = [(target.span1, target.span2) for target in syntax.deps(tree).targets]
    assert spans == [((0, 1), (1, 2)), ((1, 2), (2, 3)), ((2, 3), (2, 3)), ((3, 4), (4, 5)), ((4, 5), (2, 3))]
    assert [target.labels[0] for target in syntax.deps(tree).targets] == ["det", "nsubj", "root", "nmod:poss", "obj"]
    assert syntax.deps(tree, subtypes=False).targets[3].labels == ("nmod",)


@given(st.sets(st.text(min_size=1), min_size=5, max_size=60))
def test_splits_share_nothing_lose_nothing_and_keep_the_order(ids):
    items = sorted(ids)
    found = by_id(items, str)
    assert sorted(found["train"] + found["dev"] + found["test"]) == items
    assert all(list(part) == sorted(part) for part in found.values())
    assert len(found["train"]) == round(0.6 * len(items))


def test_an_id_stays_on_its_side_whatever_is_said_in_another_language():
    english = [(f"n{number:03}", "en") for number in range(1000)]
    french = [(key, "fr") for key, _ in reversed(english)]
    one, other = (by_id(items, lambda item: item[0]) for items in (english, french))
    assert [len(part) for part in one.values()] == [600, 200, 200]
    assert {split: {key for key, _ in part} for split, part in one.items()} == {
        split: {key for key, _ in part} for split, part in other.items()
    }
