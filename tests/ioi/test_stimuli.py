"""The grammar: positions, swaps, balance, and who is dropped."""

from collections import Counter

import pytest
from toy_tokenizer import toy_encode

from replications.errors import Refusal
from replications.ioi import stimuli
from replications.stimuli.language import IOIArticle, IOIStimuli

NAMES = ["Anna", "Ben", "Carl", "Dora", "Emil", "Fay", "Gus", "Hal", "Ida", "Alexander"]


def grammar(**changes):
    fields = {
        "names": NAMES,
        "places": ["park", "shop"],
        "objects": ["ball", "book"],
        "templates": [
            "Then {A} and {B} went to the {place} and {S} gave a {object} to",
            "Later {A} met {B} by the {place} so {S} gave the {object} to",
            "At noon {A} and {B} sat down and {S} sent a {object} to",
        ],
        "article": IOIArticle(template="{A} and {B} left. {S} gave it to", io="Mary", s="John"),
    }
    return IOIStimuli(**(fields | changes))


@pytest.fixture(scope="module")
def made():
    return stimuli.build_prompts(grammar(), toy_encode, prefix=" ", n=24, seed=0)


def test_the_article_pair_names_the_subject_first(made):
    assert made.article.clean.text == "John and Mary left. John gave it to"
    assert made.article.corrupted.text == "John and Mary left. Mary gave it to"
    assert (made.article.io, made.article.s, made.article.order) == ("Mary", "John", "BABA")


def test_clean_and_corrupted_differ_at_the_second_subject_only(made):
    for prompt in made.prompts:
        differing = [i for i, (a, b) in enumerate(zip(prompt.clean.ids, prompt.corrupted.ids, strict=True)) if a != b]
        assert differing == [prompt.s2]
        start, end = prompt.clean.spans[prompt.s2]
        assert prompt.clean.text[start:end].strip() == prompt.s


def test_the_answer_is_the_name_said_once(made):
    for prompt in made.prompts:
        assert prompt.clean.text.count(prompt.s) == 2
        assert prompt.clean.text.count(prompt.io) == 1
        assert prompt.answers == tuple(toy_encode(f"x {name}").ids[-1] for name in (prompt.io, prompt.s))


def test_order_says_who_is_named_first(made):
    for prompt in made.prompts:
        io_first = prompt.clean.text.index(prompt.io) < prompt.clean.text.index(prompt.s)
        assert io_first == (prompt.order == "ABBA")


def test_templates_and_orders_are_balanced(made):
    counts = Counter((prompt.template, prompt.order) for prompt in made.prompts)
    assert set(counts.values()) == {4}
    assert len(counts) == 6


def test_prompts_are_distinct_and_seeded(made):
    texts = [prompt.clean.text for prompt in made.prompts]
    assert len(set(texts)) == len(texts)
    again = stimuli.build_prompts(grammar(), toy_encode, prefix=" ", n=24, seed=0)
    assert [p.clean.text for p in again.prompts] == texts
    other = stimuli.build_prompts(grammar(), toy_encode, prefix=" ", n=24, seed=1)
    assert [p.clean.text for p in other.prompts] != texts


def test_a_name_of_two_tokens_is_dropped_and_counted(made):
    assert made.dropped["name is not one token"] == 1
    assert not any("Alexander" in prompt.clean.text for prompt in made.prompts)


def test_too_few_names_are_refused():
    with pytest.raises(Refusal, match="only 7 of 8 names are one token"):
        stimuli.build_prompts(grammar(names=[*NAMES[:7], "Alexander"]), toy_encode, prefix=" ", n=4, seed=0)


def test_too_few_distinct_prompts_are_refused():
    small = grammar(templates=["Then {A} saw {B} and {S} gave it to"])
    with pytest.raises(Refusal, match="of 500 prompts could be made"):
        stimuli.build_prompts(small, toy_encode, prefix=" ", n=500, seed=0)


def test_an_article_pair_of_several_tokens_is_refused():
    pair = IOIArticle(template="{A} and {B} left. {S} gave it to", io="Mary", s="Alexander")
    with pytest.raises(Refusal, match="the article's pair"):
        stimuli.build_prompts(grammar(article=pair), toy_encode, prefix=" ", n=4, seed=0)
