"""The table of facts as it is shipped, what its loader refuses, and which facts count as known."""

import csv
import json
import re
from collections import Counter
from functools import cache, partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_tokenizer import toy_encode

from replications.errors import Refusal
from replications.stimuli import facts
from replications.stimuli.fact_table import COLUMNS
from replications.stimuli.facts import Fact, FactSet, Relation, load_facts

read = cache(load_facts)

RELATION = {
    "id": "capital",
    "property": "P36",
    "frame": "The capital of {subject} is",
    "paraphrases": ["{subject} is ruled from", "Who rules {subject} sits in"],
}
ROWS = [["capital", "France", "Paris", "Q142 P36 Q90"], ["capital", "Italy", "Rome", "Q38 P36 Q220"]]


def written(root, *rows, header=COLUMNS, **fields):
    """`root` with data/facts of one relation; `fields` replace parts of the YAML file or of its relation."""
    folder = root / "facts"
    folder.mkdir(exist_ok=True)
    top = {"language": "en", "relations": [RELATION | {k: v for k, v in fields.items() if k in RELATION}]}
    (folder / "en.yaml").write_text(json.dumps(top | {k: v for k, v in fields.items() if k not in RELATION}))
    with (folder / "en.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *(rows or ROWS)])
    return root


def small(*triples) -> FactSet:
    """Facts of two relations from (relation, subject, object)."""
    relations = {name: Relation(name, "P1", f"{name} of {{subject}} is", ("{subject} has",)) for name in "ab"}
    made = [Fact(f"{r}.{s}", relations[r], s, o, "Q1 P1 Q2") for r, s, o in triples]
    return FactSet(tuple(relations.values()), tuple(made))


# --- the loader


def test_reads_what_the_files_say(tmp_path):
    loaded = load_facts("en", written(tmp_path))
    assert [(f.id, f.subject, f.object, f.source) for f in loaded.facts] == [
        ("capital.france", "France", "Paris", "Q142 P36 Q90"),
        ("capital.italy", "Italy", "Rome", "Q38 P36 Q220"),
    ]
    assert loaded.relations == (Relation(**RELATION | {"paraphrases": tuple(RELATION["paraphrases"])}),)
    assert {fact.relation for fact in loaded.facts} == set(loaded.relations)


def test_unknown_language_lists_the_known_ones(tmp_path):
    with pytest.raises(Refusal, match=r"'fr'.*known: en$"):
        load_facts("fr", written(tmp_path))
    with pytest.raises(Refusal, match=r"known: none$"):
        load_facts("en", tmp_path / "nowhere")


FIRST = r"relations.0 \(capital\)"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"frame": "It is in"}, FIRST + r".frame: should hold {subject} exactly once"),
        (
            {"frame": "{subject} and {subject} are in"},
            FIRST + r".frame: should hold {subject} exactly once",
        ),
        ({"frame": "{subject} of {country} is in"}, FIRST + r".frame: .*no other field"),
        ({"frame": "{subject} is in{"}, FIRST + r".frame: .*no other field"),
        ({"frame": "The capital of {subject}"}, FIRST + r".frame: should go on after {subject}"),
        ({"frame": "{subject} is in "}, FIRST + r".frame: should neither begin nor end with a space"),
        ({"frame": "{subject} is\u00a0in"}, FIRST + r".frame: should hold no character .*U\+00A0"),
        (
            {"paraphrases": ["{subject} is in", "{subject} Is in"]},
            FIRST + r".paraphrases: .*given twice",
        ),
        ({"paraphrases": ["{subject} is ruled from"]}, FIRST + r".paraphrases: should have at least 2"),
        (
            {"paraphrases": ["{subject} is in"] * 2},
            FIRST + r".paraphrases: .*given twice: '{subject} is in'",
        ),
        (
            {"paraphrases": [RELATION["frame"], "{subject} is in"]},
            FIRST + r": paraphrases should differ",
        ),
        ({"property": "36"}, FIRST + r".property: should match"),
        ({"id": "Capital"}, r"relations.0 \(Capital\).id: should match"),
        ({"relations": [RELATION, RELATION]}, r"relation ids should be unique; given twice: capital"),
        ({"relations": []}, r"relations: should have at least 1"),
        ({"language": "de"}, r"language is 'de'; it should be 'en'"),
        ({"comment": "?"}, r"comment: is unknown; known: language, relations"),
    ],
)
def test_a_malformed_relation_is_refused_by_name(tmp_path, fields, message):
    with pytest.raises(Refusal, match=r"en\.yaml: " + message):
        load_facts("en", written(tmp_path, **fields))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["capital", "France", "Lyon", "Q142 P36 Q456"], r"line 2 has the same relation and subject"),
        (["ruler", "Spain", "Felipe", "Q29 P35 Q1"], r"unknown relation; it should be one of capital"),
        (["capital", "Spain", "Madrid", ""], r"source: should match"),
        (["capital", "Spain", "Madrid", "an atlas"], r"source: should match"),
        (["capital", "Spain", "Madrid", "Q29 P17 Q2807"], r"source is 'Q29 P17 Q2807'; its property should be P36"),
        (["capital", "Mexico", "Mexico City", "Q96 P36 Q1489"], r"should not give the object away: Mexico - M"),
        (["capital", "City of Rome", "rome", "Q1 P36 Q220"], r"should not give the object away"),
        (["capital", " Spain", "Madrid", "Q29 P36 Q2807"], r"subject: should neither begin nor end with a space"),
        (["capital", "Spain", "", "Q29 P36 Q2807"], r"object: should have at least 1 character"),
        (["capital", "FRANCE", "Lyon", "Q142 P36 Q456"], r"line 2 has the same relation and subject"),
        (["capital", "Spain", "PARIS", "Q29 P36 Q90"], r"object is 'PARIS'; it should be written 'Paris' as in"),
        (["capital", "Spain", "Mad\u200drid", "Q29 P36 Q2807"], r"object: .*cannot be seen, as U\+200D"),
        (["capital", "Spain\u00ad", "Madrid", "Q29 P36 Q2807"], r"subject: .*cannot be seen, as U\+00AD"),
        (["capital", "Pe\u0301rou", "Lima", "Q419 P36 Q2868"], r"subject: should have letters and accents in one"),
    ],
)
def test_a_malformed_fact_is_refused_by_line_and_name(tmp_path, row, message):
    with pytest.raises(Refusal, match=rf"en\.csv line 4 \({row[0]}, {row[1]}\): .*" + message):
        load_facts("en", written(tmp_path, *ROWS, row))


@pytest.mark.parametrize("row", [["capital", "Spain", "Madrid"], ["capital", "Spain", "Madrid", "Q29 P36 Q2807", "?"]])
def test_a_row_of_another_length_is_refused(tmp_path, row):
    with pytest.raises(Refusal, match=r"en\.csv line 4: should have 4 fields: relation, subject, object, source"):
        load_facts("en", written(tmp_path, *ROWS, row))


def test_other_columns_are_refused(tmp_path):
    with pytest.raises(Refusal, match=r"en\.csv line 1: the columns should be relation, subject, object, source"):
        load_facts("en", written(tmp_path, header=["relation", "subject", "answer", "source"]))


def test_subjects_whose_ids_would_be_one_are_refused(tmp_path):
    rows = [["capital", "Pérou", "Lima", "Q419 P36 Q2868"], ["capital", "Perou", "Lima", "Q419 P36 Q2868"]]
    with pytest.raises(Refusal, match=r"two subjects have the id capital\.perou"):
        load_facts("en", written(tmp_path, *rows))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("en.yaml", b"language: [en", r"en\.yaml is not readable YAML"),
        ("en.yaml", b"\xff", r"en\.yaml is not UTF-8"),
        ("en.yaml", b"", r"en\.yaml is empty"),
        ("en.csv", b"", r"en\.csv line 1: .*not none$"),
        ("en.csv", b'a,"b\n', r"en\.csv is not readable CSV near line 1: unexpected end"),
        ("en.csv", b'relation,subject,object,source\na,"b"c,d,e\n', r"en\.csv is not readable CSV near line [12]: "),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, name, data, message):
    (written(tmp_path) / "facts" / name).write_bytes(data)
    with pytest.raises(Refusal, match=message):
        load_facts("en", tmp_path)


def test_a_missing_table_is_refused(tmp_path):
    (written(tmp_path) / "facts" / "en.csv").unlink()
    with pytest.raises(Refusal, match=r"en\.csv does not exist"):
        load_facts("en", tmp_path)


# --- neighbours and targets


TRIPLES = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from("stuvwxyz"), st.sampled_from("KLMN")),
    min_size=1,
    unique_by=lambda t: t[:2],
)


@given(TRIPLES)
def test_neighbours_share_relation_and_object_and_are_never_the_subject_itself(triples):
    table = small(*triples)
    for fact in table.facts:
        want = [f for f in table.facts if (f.relation, f.object) == (fact.relation, fact.object) and f != fact]
        assert list(table.neighbours(fact)) == want
        assert fact.subject not in {f.subject for f in table.neighbours(fact)}


@given(TRIPLES, st.integers(0, 9))
def test_targets_are_the_other_objects_of_the_relation_in_an_order_that_the_seed_decides(triples, seed):
    table = small(*triples)
    for fact in table.facts:
        others = {f.object for f in table.facts if f.relation == fact.relation} - {fact.object}
        assert set(table.targets(fact, seed)) == others
        assert len(table.targets(fact, seed)) == len(others)
        assert table.targets(fact, seed) == small(*triples[::-1]).targets(fact, seed)


def test_first_targets_differ_between_facts_and_between_seeds():
    table = read("en")
    fact = table.facts[0]
    assert len({table.targets(fact, seed)[0] for seed in range(20)}) > 5
    others = [f for f in table.facts if f.relation == fact.relation]
    assert max(Counter(table.targets(f)[0] for f in others).values()) < len(others) / 3


# --- sentences and tokens


@pytest.mark.parametrize(
    "subject", ["Nuku'alofa", "St. John's", "François Hollande", "Šime Vrsaljko", "D-Bus", "of", "{x}", "Son of Man"]
)
@pytest.mark.parametrize("frame", ["{subject} is of", "The capital of {subject} is"])
def test_spans_hold_the_subject_however_awkward(frame, subject):
    fact = Fact("x", Relation("r", "P1", frame, (frame + " in", "of {subject}, of")), subject, "Oslo", "Q1 P1 Q2")
    for text, (start, end) in [(fact.prompt, fact.subject_span), fact.paraphrased(0), fact.paraphrased(1)]:
        assert text[start:end] == subject
    made = facts.locate(fact, toy_encode, " ")
    assert made.encoded.text == fact.prompt
    covered = "".join(fact.prompt[slice(*made.encoded.spans[i])] for i in made.subject)
    assert covered.strip() == subject
    assert made.subject == list(range(made.subject[0], made.subject[-1] + 1))
    assert made.answer == toy_encode(fact.prompt + " Oslo").ids[-1]


def test_a_subject_that_shares_a_token_with_its_neighbour_cannot_be_asked():
    fact = Fact("x", Relation("r", "P1", "({subject}) is in", ("{subject} is",)), "Bonn", "Asia", "Q1 P1 Q2")
    assert facts.locate(fact, toy_encode, " ") == "a token crosses the subject's boundary"
    assert facts.place(toy_encode, "(Bonn) is", (1, 5)) is None


def test_an_object_that_joins_the_last_word_cannot_be_asked():
    fact = Fact("x", Relation("r", "P1", "{subject} is", ("{subject} has",)), "Bonn", "let", "Q1 P1 Q2")
    assert facts.locate(fact, toy_encode, "") == "the object changes the tokens of the prompt"


def test_known_are_those_whose_objects_first_token_comes_first_in_their_order():
    table = small(("a", "Bonn", "Rhineland"), ("a", "Rome", "Italy"), ("a", "Oslo", "Norway"), ("b", "Lima", "Peru"))
    first = {fact.object: toy_encode(f"x {fact.object}").ids[2] for fact in table.facts}
    calls = []

    def predict(prompts):
        calls.append(prompts)
        return [first["Rhineland"], first["Norway"], first["Norway"], first["Peru"]]

    asked = facts.ask(table.facts, toy_encode, predict, " ")
    assert [one.fact.subject for one in asked.known] == ["Bonn", "Oslo", "Lima"]  # of "Rhineland" one piece is enough
    assert [one.fact.subject for one in asked.unknown] == ["Rome"]
    assert asked.dropped == {}
    assert calls == [[toy_encode(fact.prompt).ids for fact in table.facts]]  # once, for the caller to batch
    assert facts.known_facts(table.facts, toy_encode, predict, " ") == asked.known


def test_what_cannot_be_asked_is_counted_and_not_predicted():
    relation = Relation("r", "P1", "({subject}) is in", ("{subject} is",))
    odd = [Fact(f"x{i}", relation, "Bonn", "Asia", "Q1 P1 Q2") for i in range(2)]
    asked = facts.ask(odd, toy_encode, lambda prompts: pytest.fail("nothing to predict"), " ")
    assert (asked.known, asked.unknown) == ([], [])
    assert asked.dropped == {"a token crosses the subject's boundary": 2}


# --- the table as shipped: the rule of choice in data/README.md


def by_relation() -> dict[str, list[Fact]]:
    return {r.id: [f for f in read("en").facts if f.relation == r] for r in read("en").relations}


def test_the_table_is_large_and_has_many_relations():
    table = read("en")
    assert len(table.facts) >= 450
    assert len(table.relations) >= 10
    assert min(len(chosen) for chosen in by_relation().values()) >= 30


def test_most_facts_have_three_neighbours_and_all_have_four_targets():
    table = read("en")
    lonely = [fact for fact in table.facts if len(table.neighbours(fact)) < 3]
    assert len(lonely) < len(table.facts) / 10
    assert {fact.relation.id for fact in lonely} == {"capital", "official_language"}
    assert min(len(table.targets(fact)) for fact in table.facts) >= 4


def test_no_more_objects_and_subjects_than_the_rule_allows():
    for name, chosen in by_relation().items():
        objects = Counter(fact.object for fact in chosen)
        assert len(objects) <= (60 if name == "capital" else 10), name
        assert max(objects.values()) <= max(5, min(10, 50 // len(objects)) if name != "official_language" else 10), name


def test_lowest_item_numbers_come_first():
    """Objects of a relation and subjects of an object are in the order in which the rule takes them."""
    for name, chosen in by_relation().items():
        subjects = [int(fact.source.split()[0][1:]) for fact in chosen]
        objects = [int(fact.source.split()[2][1:]) for fact in chosen]
        order = [(s,) for s in subjects] if name == "capital" else list(zip(objects, subjects, strict=True))
        assert order == sorted(order), name


def test_an_item_has_one_name():
    sides = [(fact.source.split()[at], name) for fact in read("en").facts
             for at, name in ((0, fact.subject), (2, fact.object))]  # fmt: skip
    assert not [item for item, n in Counter(item for item, _ in set(sides)).items() if n > 1]


def test_objects_of_a_relation_begin_with_different_words_and_need_no_article():
    for name, chosen in by_relation().items():
        objects = {fact.object for fact in chosen}
        assert len({thing.split()[0].casefold() for thing in objects}) == len(objects), name
        assert not [thing for thing in objects if thing.lower().startswith(("the ", "a ", "an "))], name
        assert max(len(thing.split()) for thing in objects) <= 3


def test_subjects_are_plain_names():
    odd = [fact.subject for fact in read("en").facts
           if re.search(r"[^\w\s'’.\-–]|[\d_]", fact.subject) or len(fact.subject.split()) > 4]  # fmt: skip
    assert not odd


def test_some_frames_open_with_the_subject_and_some_do_not():
    opens = [relation.frame.startswith("{subject}") for relation in read("en").relations]
    assert min(sum(opens), len(opens) - sum(opens)) >= 5


# --- real models


@pytest.mark.model
def test_smollm2_knows_a_hundred_facts_about_places_alone():
    from replications.models import predict
    from replications.models.load import encoder, load_model

    loaded = load_model("smollm2-135m")
    places = ("capital", "continent", "city_country", "region_country", "official_language")
    chosen = [fact for name in places for fact in by_relation()[name]]
    asked = facts.ask(chosen, encoder(loaded), partial(predict.greedy, loaded), " ")
    assert len(asked.known) >= 100
    assert not asked.dropped
