"""Entities and coreference in the MISC column."""

import pytest

from replications.corpora import conllu, mentions
from replications.corpora.edges import Target
from replications.errors import Refusal

SCHEMA = "# global.Entity = GRP-infstat-etype-link\n"
NEWS = "GUM_news_boats"


def text(small, *miscs, document=NEWS, schema=SCHEMA, number=1):
    rows = [f"w{i} NOUN NN {i} {'dep' if i else 'root'} {misc}" for i, misc in enumerate(miscs)]
    return schema + small.sentence(f"{document}-{number}", *rows, document=document)


def trees(small, *miscs, **fields):
    return conllu.read(text(small, *miscs, **fields), "gum.conllu")


def test_mentions_nest_and_may_be_one_word(small):
    found = trees(
        small,
        "Entity=(1-new-person-coref(2-new-place-coref)",
        "_",
        "SpaceAfter=No|Entity=1)",
        "Entity=(2-giv-place-coref)",
    )
    (one,) = mentions.read(found, "gum.conllu")
    assert [(mention.kind, mention.chain, mention.span) for mention in one.mentions] == [
        ("person", "1", (0, 3)),
        ("place", "2", (0, 1)),
        ("place", "2", (3, 4)),
    ]
    (sentence,) = mentions.entities(mentions.read(found, "gum.conllu"))
    assert sentence.targets[0] == Target((0, 3), None, ("person",))


def test_pairs_within_a_sentence_are_coreferent_or_not_and_singletons_take_no_part(small):
    one = text(
        small,
        "Entity=(1-new-person-coref)",
        "Entity=(2-new-place-coref)",
        "Entity=(1-giv-person-coref)",
        "Entity=(9-new-time-sgl)",
    )
    other = text(small, "Entity=(2-giv-place-coref)", "_", schema="", number=2)
    first, second = mentions.coreference(list(mentions.read(conllu.read(one + other, "gum.conllu"), "gum.conllu")))
    assert [(target.span1, target.span2, target.labels) for target in first.targets] == [
        ((0, 1), (1, 2), ("0",)),
        ((0, 1), (2, 3), ("1",)),
        ((1, 2), (2, 3), ("0",)),
    ]
    assert second.targets == ()


def test_the_same_number_in_another_document_is_another_chain(small):
    one = text(small, "Entity=(1-new-person-coref)")
    other = text(small, "Entity=(1-new-person-coref)", document="GUM_bio_sailor", schema="")
    found = mentions.coreference(list(mentions.read(conllu.read(one + other, "gum.conllu"), "gum.conllu")))
    assert [sentence.targets for sentence in found] == [(), ()]


def test_a_mention_in_pieces_is_left_out(small):
    found = trees(
        small, "Entity=(3[1/2]-new-person-coref)", "_", "Entity=(3[2/2]-new-person-coref)", "Entity=(4-new-place-coref)"
    )
    (sentence,) = mentions.entities(mentions.read(found, "gum.conllu"))
    assert sentence.targets == (Target((3, 4), None, ("place",)),)
    assert mentions.dropped(mentions.read(found, "gum.conllu")) == {"pieces_of_split_mentions": 2}


EMPTY = "{}.1\tit\t_\t_\t_\t_\t_\t_\t_\t{}\n"


@pytest.mark.parametrize(
    ("before", "misc", "after", "count"),
    [
        ("_", "Entity=(1-new-person-coref)", "_", 1),
        ("_", "Entity=(1-new-person-coref", "Entity=1)", 1),
        ("Entity=(1-new-person-coref", "Entity=1)", "_", 1),
        ("_", "CopyOf=1|Entity=(1-new-person-coref)(2-new-place-coref)", "_", 2),
        ("Entity=(1-new-person-coref", "_", "Entity=1)", 0),
    ],
)
def test_a_mention_on_an_empty_node_is_left_out_and_counted(small, before, misc, after, count):
    lines = text(small, before, after, "Entity=(4-new-place-coref)").splitlines(keepends=True)
    found = conllu.read("".join([*lines[:4], EMPTY.format(1, misc), *lines[4:]]), "gum.conllu")
    (sentence,) = mentions.entities(mentions.read(found, "gum.conllu"))
    assert sentence.targets[-1] == Target((2, 3), None, ("place",))
    assert len(sentence.targets) == (1 if count else 2)
    assert mentions.dropped(mentions.read(found, "gum.conllu")) == ({"mentions_on_empty_nodes": count} if count else {})


def test_a_sentence_of_more_mentions_than_can_be_paired_is_refused(small):
    crowd = "Entity=" + "(1-new-person-coref)" * (mentions.MOST + 1)
    with pytest.raises(Refusal, match="sentence GUM_news_boats-1 has 1001 mentions, more than 1000"):
        list(mentions.read(trees(small, crowd), "gum.conllu"))


@pytest.mark.parametrize(
    ("document", "expected"), [(NEWS, True), ("GUM_fiction_boats", False), ("GUM_newsroom_x", False)]
)
def test_openly_licensed_genres_are_known_by_the_documents_name(small, document, expected):
    assert mentions.is_open(trees(small, "_", document=document)[0]) is expected


@pytest.mark.parametrize(
    ("miscs", "said"),
    [
        (("Entity=1)",), "gum.conllu, line 4: entity 1 closes but is not open"),
        (("Entity=(1-new-person-coref",), "line 4: sentence GUM_news_boats-1 ends while entity 1 is open"),
        (("Entity=(1)",), r"line 4: entity '1' should have the fields GRP-infstat-etype-link"),
        (("Entity=1",), "line 4: Entity=1 is not a row of entities"),
    ],
)
def test_entities_that_are_out_of_order_are_refused_with_their_line(small, miscs, said):
    with pytest.raises(Refusal, match=said):
        list(mentions.read(trees(small, *miscs), "gum.conllu"))


def test_the_fields_must_be_declared(small):
    with pytest.raises(Refusal, match=r"a `# global.Entity = GRP-etype-...` line is expected"):
        list(mentions.read(trees(small, "_", schema=""), "gum.conllu"))
