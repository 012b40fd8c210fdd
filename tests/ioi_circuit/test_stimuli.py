"""Circuit prompts: positions, twins, one layout per template and order, balance, and who is dropped."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_tokenizer import toy_encode

from replications.errors import Refusal
from replications.ioi_circuit import stimuli
from replications.stimuli.language import IOIArticle, IOIStimuli

NAMES = ["Anna", "Ben", "Carl", "Dora", "Emil", "Fay", "Gus", "Hal", "Ida", "Jo", "Alexander"]


def grammar(**changes):
    fields = {
        "names": NAMES,
        "places": ["park", "shop", "library", "beach"],
        "objects": ["ball", "book", "necklace"],
        "templates": [
            "Then {A} and {B} went to the {place} and {S} gave a {object} to",
            "By the {place} {A} met {B} so {S} gave the {object} to",
            "At noon {A} and {B} sat down and {S} sent a {object} to",
        ],
        "article": IOIArticle(template="{A} and {B} left. {S} gave it to", io="Mary", s="John"),
    }
    return IOIStimuli(**(fields | changes))


def build(n=48, seed=0, **changes):
    return stimuli.build(grammar(**changes), toy_encode, prefix=" ", n=n, seed=seed)


def word(prompt, ids, at):
    """The word that a token id stands for, in the toy encoding."""
    return ids[at].to_bytes(7, "big").lstrip(b"\0").decode().strip()


def test_positions_point_at_the_names():
    for prompt in build().prompts:
        assert word(prompt, prompt.ids, prompt.io_at) == prompt.io
        assert word(prompt, prompt.ids, prompt.s1_at) == prompt.s
        assert word(prompt, prompt.ids, prompt.s2_at) == prompt.s
        assert prompt.s1_at < prompt.s2_at
        assert (prompt.io_at < prompt.s1_at) == (prompt.order == "ABBA")
        assert (prompt.io_id, prompt.s_id) == tuple(toy_encode(f"x {name}").ids[-1] for name in (prompt.io, prompt.s))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1 << 30))
def test_one_template_and_order_has_one_layout(seed):
    layouts = {}
    for prompt in build(seed=seed).prompts:
        layouts.setdefault((prompt.template, prompt.order), set()).add(prompt.positions)
    assert len(layouts) == 6
    assert all(len(found) == 1 for found in layouts.values())


def test_the_twin_names_three_others_and_is_the_same_elsewhere():
    for prompt in build().prompts:
        assert len(prompt.abc_ids) == len(prompt.ids)
        names = {prompt.io_at, prompt.s1_at, prompt.s2_at}
        assert {i for i, (a, b) in enumerate(zip(prompt.ids, prompt.abc_ids, strict=True)) if a != b} == names
        others = [word(prompt, prompt.abc_ids, at) for at in sorted(names)]
        assert len({*others, prompt.io, prompt.s}) == 5


def test_templates_and_orders_are_balanced_and_prompts_distinct():
    prompts = build().prompts
    assert set(Counter((p.template, p.order) for p in prompts).values()) == {8}
    assert len({p.text for p in prompts}) == len(prompts)


def test_fillers_that_would_move_the_positions_are_not_drawn():
    """`library` and `necklace` are two tokens each: mixing them with the others would shift S2."""
    for prompt in build().prompts:
        assert "library" not in prompt.text
        assert "necklace" not in prompt.text


def test_prompts_are_seeded():
    texts = [p.text for p in build().prompts]
    assert [p.text for p in build().prompts] == texts
    assert [p.text for p in build(seed=1).prompts] != texts


def test_a_name_of_two_tokens_is_dropped_and_counted():
    made = build()
    assert made.dropped["name is not one token"] == 1
    assert not any("Alexander" in prompt.text for prompt in made.prompts)


def test_a_sentence_in_front_leaves_the_prompt_at_the_end():
    prompt = build().prompts[0]
    longer = stimuli.prepended(prompt, "The tower is here. ", toy_encode)
    assert longer[-len(prompt.ids) + 2 :] == prompt.ids[2:]
    assert len(longer) > len(prompt.ids)


def test_too_few_prompts_are_refused():
    with pytest.raises(Refusal, match="of 200 circuit prompts could be made"):
        build(n=200, templates=["Then {A} saw {B} and {S} gave it to"])


def test_a_template_that_splits_names_is_refused():
    with pytest.raises(Refusal, match=r"template 0 .* splits its names"):
        build(templates=["Then pre{A} saw {B} and {S} gave it to"])


def test_too_few_names_are_refused():
    with pytest.raises(Refusal, match="only 7 of 8 names are one token"):
        build(names=[*NAMES[:7], "Alexander"])
