"""Reading the paper's lists out of a source file like theirs, without running it."""

import pytest
from toy_tokenizer import toy_encode

from replications.errors import Refusal
from replications.ioi_circuit import stimuli, wang_stimuli

SOURCE = """
import nowhere_to_be_found
NAMES = ["Ann", "Ben", "Carl", "Dora", "Emil", "Fay", "Gus", "Hal", "Ida", "Joe"]
PLACES = ["park", "shop"]
OBJECTS = ["ball", "book"]
BABA_TEMPLATES = [
    "So [B] and [A] went to the [PLACE]. [B] gave a [OBJECT] to [A]",
    "When [B] and [A] got a [OBJECT] there, [B] gave the [OBJECT] to [A]",
    "Then [B] and [A] had a row, and later [B] said to [A]",
]
OTHER = [name.upper() for name in NAMES]
ABBA_TEMPLATES = BABA_TEMPLATES[:]
raise SystemExit("this must not run")
"""


def test_lists_and_templates():
    grammar = wang_stimuli.read(SOURCE)
    assert len(grammar.names) == 10
    assert (grammar.places, grammar.objects) == (("park", "shop"), ("ball", "book"))
    assert grammar.templates == (
        "So {A} and {B} went to the {place}. {S} gave a {object} to",
        "When {A} and {B} got a {object} there, {S} gave the {object} to",
        "Then {A} and {B} had a row, and later {S} said to",
    )


def test_they_make_circuit_prompts():
    made = stimuli.build(wang_stimuli.read(SOURCE), toy_encode, prefix=" ", n=24, seed=0)
    twice = [prompt for prompt in made.prompts if prompt.template == 1]
    assert len(twice) == 8
    for prompt in twice:
        thing = "ball" if "ball" in prompt.text else "book"
        assert prompt.text.count(thing) == 2
        assert prompt.text.endswith(f"{prompt.s} gave the {thing} to")
    first, second = (next(p for p in made.prompts if p.template == 2 and p.order == o) for o in ("ABBA", "BABA"))
    assert first.text == f"Then {first.io} and {first.s} had a row, and later {first.s} said to"
    assert second.text == f"Then {second.s} and {second.io} had a row, and later {second.s} said to"


@pytest.mark.parametrize(("old", "new", "message"), [
    ("NAMES = [", "NAMES = tuple, [", "NAMES should be assigned"),
    ('PLACES = ["park", "shop"]', "PLACES = [1, 2]", "PLACES should be assigned"),
    (" said to [A]", " said to", "should name"),
    ("had a row, and later [B]", "had a row, and later [A]", "should name"),
    ("NAMES = [", "NAMES = = [", "is not Python source"),
    ("NAMES = [", "NAMES = \0[", "is not Python source"),
    ("NAMES = [", "X = " + "(" * 10_000 + "[", "is not Python source"),
    ("NAMES = [", "X = " + "-" * 100_000 + "1\nNAMES = [", "is not Python source"),
    ("PLACES = [", "PLACES = [{[]}, ", "PLACES should be assigned"),
    ("So [B]", "So " + "[B] and [A] and " * 5000 + "[B]", "should name"),
    ("and [A] got", "and [A] met [A] and got", "should name"),
])  # fmt: skip
def test_another_form_is_refused(old, new, message):
    with pytest.raises(Refusal, match=message):
        wang_stimuli.read(SOURCE.replace(old, new, 1))
