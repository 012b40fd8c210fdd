"""From facts to tasks: which are known, which object replaces theirs, and where everything stands in tokens."""

from dataclasses import replace

import pytest
from toy_tokenizer import toy_encode

from replications.errors import Refusal
from replications.rome_editing import stimuli
from replications.rome_editing.stimuli import Frames
from replications.stimuli.facts import Fact, FactSet, Relation
from replications.stimuli.published_facts import Counterfact
from replications.stimuli.spans import Encoded

CITY = Relation(
    "city_country", "P17", "{subject} is a city in", ("If you visit {subject}, you will be in", "{subject} lies in")
)
PLACES = [("Lyon", "France"), ("Lille", "France"), ("Nice", "France"), ("Turin", "Italy"), ("Milan", "Italy"),
          ("Cork", "Ireland"), ("Bern", "Switzerland")]  # fmt: skip
TABLE = FactSet((CITY,), tuple(Fact(f"city.{s.lower()}", CITY, s, o, "Q1 P17 Q2") for s, o in PLACES))
FRAMES = Frames(("", "So it was. "), "{subject} is a", " ")
LYON = TABLE.facts[0]


def requests_of(*facts, **options):
    return list(stimuli.from_facts(facts, TABLE, **{"neighbours": 5, "seed": 0} | options))


def say(known):
    """A predictor that knows these subjects' countries."""
    objects = {
        toy_encode(f.prompt).ids[1]: toy_encode(" " + f.object).ids[1] for f in TABLE.facts if f.subject in known
    }
    return lambda prompts: [objects.get(prompt[1], 0) for prompt in prompts]


def test_known_facts_come_in_seeded_order_with_the_traced_ones_first():
    def known(first, n, seed=1):
        facts, _ = stimuli.known(TABLE.facts, first, n, toy_encode, say({"Lyon", "Turin", "Bern"}), " ", seed)
        return [fact.subject for fact in facts]

    assert known(["city.bern"], 2)[0] == "Bern"
    assert set(known([], 9)) == {"Lyon", "Turin", "Bern"}
    assert known([], 9) == known([], 9)
    assert len({tuple(known([], 3, seed)) for seed in range(8)}) > 1


def test_a_model_that_knows_nothing_is_refused():
    with pytest.raises(Refusal, match="knows none of 7 facts"):
        stimuli.known(TABLE.facts, [], 3, toy_encode, say(set()), " ", 0)


def test_a_request_asks_for_another_object_of_the_relation():
    (candidates,) = requests_of(LYON)
    assert {request.target for request in candidates} == {"Italy", "Ireland", "Switzerland"}
    first = candidates[0]
    assert (first.prompt, first.true) == ("Lyon is a city in", "France")
    assert first.prompt[slice(*first.span)] == "Lyon"
    assert first.paraphrases == ("If you visit Lyon, you will be in", "Lyon lies in")
    assert set(first.neighbours) == {"Lille is a city in", "Nice is a city in"}
    assert len(requests_of(LYON, neighbours=1)[0][0].neighbours) == 1


def test_a_task_has_every_column_in_its_place():
    request = requests_of(LYON)[0][0]
    task = stimuli.in_tokens(replace(request, target="Switzerland"), toy_encode, FRAMES)
    bare, after = task.rewrite.contexts
    assert task.rewrite.target == tuple(toy_encode(" Switzerland").ids[1:])
    assert bare.ids == (*toy_encode("Lyon is a city in").ids, *task.rewrite.target[:-1])
    assert bare.subject == 1
    assert bare.asked == (5, 6)  # " in" and the first piece of Switzerland
    assert after.subject == bare.subject + 3
    assert [len(row.asked) for row in (bare, after)] == [2, 2]
    assert task.rewrite.essence.ids == tuple(toy_encode("Lyon").ids)
    assert task.rewrite.essence.asked == (1,)


def test_every_prompt_is_asked_for_both_objects():
    task = stimuli.in_tokens(requests_of(LYON)[0][0], toy_encode, FRAMES)
    assert [kind for kind, *_ in task.picks] == ["rewrite", "paraphrase", "paraphrase", "neighbour", "neighbour"]
    for _, star, true in task.picks:
        assert star.tokens == task.rewrite.target
        assert true.tokens == tuple(toy_encode(" France").ids[1:])
        prompts = [task.rows[pick.row].ids[: task.rows[pick.row].asked[0] + 1] for pick in (star, true)]
        assert prompts[0] == prompts[1]
    alone = stimuli.only_rewrite(task)
    assert [kind for kind, *_ in alone.picks] == ["rewrite"]
    assert alone.rows == task.rows[: len(alone.rows)]


def test_an_object_that_begins_like_the_true_one_is_passed_over():
    request = requests_of(LYON)[0][0]
    alike, other = replace(request, target="Francesca"), replace(request, target="Ireland")
    made, dropped = stimuli.tasks([[alike, other], [alike]], toy_encode, FRAMES)
    assert [task.request.target for task in made] == ["Ireland"]
    assert dropped == {"the objects begin with the same token": 1}


def test_a_target_that_is_the_true_object_is_refused():
    request = replace(requests_of(LYON)[0][0], target="France")
    with pytest.raises(
        Refusal, match=r"city\.lyon: the target of an edit should differ from the true object, 'France'"
    ):
        stimuli.in_tokens(request, toy_encode, FRAMES)


def test_a_subject_inside_a_token_is_dropped():
    request = requests_of(LYON)[0][0]
    made, dropped = stimuli.tasks([[replace(request, span=(0, 3), subject="Lyo")]], toy_encode, FRAMES)
    assert made == []
    assert dropped == {"a token crosses the subject's boundary": 1}


def test_only_facts_that_can_be_scored_are_edited():
    """Cork and Bern have no neighbour; without a token before it, no subject of one token can be edited."""
    assert [fact.subject for fact in stimuli.editable(TABLE, toy_encode)] == ["Lyon", "Lille", "Nice", "Turin", "Milan"]
    assert stimuli.editable(TABLE, without_bos) == []
    made, dropped = stimuli.tasks(requests_of(LYON), without_bos, FRAMES)
    assert made == []
    assert dropped == {"the subject ends with the text's first token": 1}


def without_bos(text):
    encoded = toy_encode(text)
    return Encoded(text, encoded.ids[1:], encoded.spans[1:])


def test_counterfact_records_are_requests():
    record = Counterfact(LYON, "Italy", "Lille belongs to", "France")
    (request,) = next(stimuli.from_counterfact([record]))
    assert (request.target, request.true, request.neighbours) == ("Italy", "France", ("Lille belongs to",))
    assert request.paraphrases == ("If you visit Lyon, you will be in",)


def test_a_language_without_an_essence_is_refused():
    with pytest.raises(Refusal, match=r"ESSENCE lacks the counterpart of '\{subject\} is a' in 'fr'"):
        stimuli.frames("fr", [""], " ")
