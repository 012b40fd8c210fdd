"""The stimulus files as they are shipped, and what the loader refuses."""

import json
import re
from collections import Counter
from functools import cache
from itertools import permutations

import pytest

from replications.errors import Refusal
from replications.stimuli.language import LanguageStimuli, languages, load_stimuli

SHIPPED = languages()
read = cache(load_stimuli)  # the files are small, but YAML is slow
UNCONTRACTED = {"fr": r"\b(à|de) les? ", "es": r"\b(a|de) el "}


def valid() -> dict:
    """The smallest file that the schema takes."""
    return {
        "language": "en",
        "name": "English",
        "script": "Latin",
        "answer_prefix": " ",
        "location": {
            "frame": "{subject} is in",
            "article_pair": {"clean": "louvre", "corrupted": "coliseum"},
            "landmarks": [
                {"id": "louvre", "subject": "The Louvre", "city": "Paris"},
                {"id": "coliseum", "subject": "The Coliseum", "city": "Rome"},
            ],
        },
        "ioi": {
            "names": ["Mary", "John"],
            "places": ["store"],
            "objects": ["book"],
            "templates": ["Then, {A} and {B} went to the {place}. {S} gave a {object} to"],
            "mentions": ["{N} had a good day."],
            "article": {"template": "{A} and {B} came. {S} gave it to", "io": "Mary", "s": "John"},
        },
    }


def written(root, text: str):
    """`root` with stimuli/en.yaml holding `text`."""
    (root / "stimuli").mkdir()
    (root / "stimuli" / "en.yaml").write_text(text, encoding="utf-8")
    return root


def changed(path: str, value) -> dict:
    """The valid file with the entry at the dotted path replaced, or added."""
    raw = node = valid()
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        node = node[part]
    node[last] = value
    return raw


@pytest.fixture(params=SHIPPED)
def shipped(request) -> LanguageStimuli:
    """Every language in turn."""
    return read(request.param)


def prompts(stimuli: LanguageStimuli, template: str) -> list[str]:
    """The template with every place and object, and two names."""
    names = dict(zip("ABS", (stimuli.ioi.names[0], stimuli.ioi.names[-1], stimuli.ioi.names[0]), strict=True))
    pairs = [(place, thing) for place in stimuli.ioi.places for thing in stimuli.ioi.objects]
    return [template.format(**names, place=place, object=thing) for place, thing in pairs]


# --- the loader


def test_reads_what_the_file_says(tmp_path):
    stimuli = load_stimuli("en", written(tmp_path, json.dumps(valid())))
    assert stimuli.model_dump() == valid()


def test_languages_are_the_files(tmp_path):
    assert languages(tmp_path) == []
    assert languages(written(tmp_path, "")) == ["en"]


def test_unknown_language_lists_the_known_ones(tmp_path):
    with pytest.raises(Refusal, match=r"'xx'.*known: en$"):
        load_stimuli("xx", written(tmp_path, json.dumps(valid())))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("language", "fr", "language is 'fr'; it should be 'en'"),
        ("comment", "?", "comment: is unknown; known: language, name"),
        ("answer_prefix", "\t", "answer_prefix: "),
        ("location.frame", "It is in", r"location.frame: should hold {subject} exactly once"),
        ("location.frame", "{subject} of {country} is in", r"location.frame: .*{country} is none"),
        ("location.frame", "{subject} is in ", "location.frame: .*space"),
        ("location.article_pair.clean", "eiffel", r"location: article_pair .*unknown: eiffel"),
        ("location.article_pair.clean", "coliseum", "location: article_pair .*both sides are coliseum"),
        ("location.landmarks.1.id", "louvre", "location: landmark ids should be unique; given twice: louvre"),
        ("location.landmarks.1.id", "The Coliseum", r"location.landmarks.1 \(The Coliseum\).id: "),
        ("location.landmarks.1.city", "", r"location.landmarks.1 \(coliseum\).city: "),
        ("location.landmarks.1.country", "Italy", r"location.landmarks.1 \(coliseum\).country: is unknown"),
        ("ioi.names", ["Mary", "John", "Mary"], "ioi.names: .*given twice: Mary"),
        ("ioi.names", ["Mary"], "ioi.names: "),
        ("ioi.names", ["Mary", "John", "mary"], "ioi.names: .*given twice: Mary"),
        ("ioi.names", ["Straße", "John", "STRASSE"], "ioi.names: .*given twice: Straße"),
        ("ioi.names", ["José", "Jose\u0301"], r"ioi.names.1: should have letters and accents in one .*as 'José'"),
        ("ioi.names", ["Mary", "Mary\u00ad"], r"ioi.names.1: .*cannot be seen, as U\+00AD \(SOFT HYPHEN\)"),
        ("ioi.names", ["Mary", "John\ufe0f"], r"ioi.names.1: .*U\+FE0F"),
        ("ioi.names", ["Mary", "Jo\u3164hn"], r"ioi.names.1: .*U\+3164"),
        ("ioi.places", ["store", "\u200bbook shop"], r"ioi.places.1: .*U\+200B \(ZERO WIDTH SPACE\)"),
        ("ioi.places", ["store", "book\u00a0shop"], r"ioi.places.1: .*U\+00A0 \(NO-BREAK SPACE\)"),
        ("ioi.objects", ["book", "Book"], "ioi.objects: .*given twice: book"),
        ("ioi.objects.0", "bo\tok", r"ioi.objects.0: .*U\+0009"),
        ("ioi.templates.0", "{A} and\u2009{B} came. {S} gave it to", r"ioi.templates.0: .*U\+2009"),
        ("ioi.article.io", "john", "ioi.article: io and s should be two names; both are John"),
        ("location.landmarks.1.subject", "the louvre", "location: landmarks should have a subject each; .*The Louvre"),
        ("location.landmarks.1.city", "paris", "location: a city should be written in one way; in several: [Pp]aris"),
        (
            "location.landmarks.1.city",
            "Ro\u2060me",
            r"location.landmarks.1 \(coliseum\).city: .*U\+2060 \(WORD JOINER\)",
        ),
        ("name", "Engl\u202eish", r"name: .*U\+202E"),
        ("ioi.places", ["store", "store"], "ioi.places: .*given twice: store"),
        ("ioi.objects", [], "ioi.objects: "),
        ("ioi.templates.0", "{B} and Mary came. {S} gave it to", r"ioi.templates.0: should hold {A} exactly once"),
        ("ioi.templates.0", "{A} and Mary came. {S} gave it to", r"ioi.templates.0: should hold {B} exactly once"),
        ("ioi.templates.0", "{A} and {B} came. He gave it to", r"ioi.templates.0: should hold {S} exactly once"),
        ("ioi.templates.0", "{A}, {B} and {B}. {S} gave it to", r"ioi.templates.0: should hold {B} exactly once"),
        ("ioi.templates.0", "{A} and {B}. {S} gave {gift} to", r"ioi.templates.0: .*{gift} is none"),
        ("ioi.templates.0", "{A} and {B}. {S gave it to", "ioi.templates.0: is no template"),
        ("ioi.templates.0", "{A} and {B}. {S} gave it to ", "ioi.templates.0: .*space"),
        ("ioi.mentions.0", "It was a good day.", r"ioi.mentions.0: should hold {N} exactly once"),
        ("ioi.mentions.0", "{N} met {S}.", r"ioi.mentions.0: .*{S} is none"),
        ("ioi.mentions", ["{N} slept."] * 2, "ioi.mentions: .*given twice"),
        ("ioi.article.template", "{A} and {B}: {S} at {place}", r"ioi.article.template: .*{place} is none"),
        ("ioi.article.io", "John", "ioi.article: io and s should be two names; both are John"),
    ],
)
def test_refuses_naming_file_and_entry(tmp_path, path, value, message):
    root = written(tmp_path, json.dumps(changed(path, value)))
    with pytest.raises(Refusal, match=rf"en\.yaml: {message}"):
        load_stimuli("en", root)


@pytest.mark.parametrize("text", ["", "- a list", "{", "language: en"])
def test_refuses_what_is_no_stimulus_file(tmp_path, text):
    with pytest.raises(Refusal, match=r"en\.yaml"):
        load_stimuli("en", written(tmp_path, text))


# --- the shipped files


def test_five_languages_are_shipped():
    assert {"en", "fr", "de", "es", "zh"} <= set(SHIPPED)


def test_the_articles_pairs_are_as_printed():
    english = read("en")
    subjects = {mark.id: (mark.subject, mark.city) for mark in english.location.landmarks}
    pair, article = english.location.article_pair, english.ioi.article
    assert english.location.frame == "{subject} is in"
    assert [subjects[pair.clean], subjects[pair.corrupted]] == [("The Louvre", "Paris"), ("The Coliseum", "Rome")]
    printed = "John and Mary went to the store. John bought a bottle of milk and gave it to"
    assert article.template.format(A=article.s, B=article.io, S=article.s) == printed


def test_landmarks_are_those_of_the_english_file_in_its_order(shipped):
    ids = [mark.id for mark in shipped.location.landmarks]
    english = [mark.id for mark in read("en").location.landmarks]
    assert ids == [name for name in english if name in ids]
    assert len(ids) >= 100


def test_many_cities_and_at_most_six_landmarks_each(shipped):
    per_city = Counter(mark.city for mark in shipped.location.landmarks)
    assert len(per_city) >= 35
    assert max(per_city.values()) <= 6


def test_landmarks_of_one_city_in_english_share_it_in_every_language(shipped):
    english = {mark.id: mark.city for mark in read("en").location.landmarks}
    translations = {(english[mark.id], mark.city) for mark in shipped.location.landmarks}
    assert len(translations) == len({source for source, _ in translations}) == len({city for _, city in translations})


def stem(word: str) -> str:
    """Enough of a Latin word to find its derivations: rom- for Rome, Roman; veni- for Venice; de stays."""
    return word[: max(3, min(4, len(word) - 1))]


def gives_away(subject: str, city: str) -> bool:
    """Whether the city, or a word with the stem of one of its long words, is part of the landmark's name."""
    stems = [stem(word) for word in re.split(r"[\s-]", city.casefold()) if len(word) > 2]
    words = re.split(r"[\s'-]", subject.casefold())
    return city.casefold() in subject.casefold() or any(word.startswith(tuple(stems)) for word in words)


@pytest.mark.parametrize(
    ("subject", "city", "away"),
    [
        ("The Roman Forum", "Rome", True),
        ("Das Münchner Kindl", "München", True),
        ("The Tower of London", "London", True),
        ("伦敦塔桥", "伦敦", True),
        ("The Plaza de Mayo", "Rio de Janeiro", False),
        ("The Prado Museum", "Prague", False),
    ],
)
def test_what_gives_a_city_away(subject, city, away):
    assert gives_away(subject, city) == away


def test_no_subject_gives_the_city_away(shipped):
    assert not [mark for mark in shipped.location.landmarks if gives_away(mark.subject, mark.city)]


def test_subjects_are_unique_and_open_a_sentence(shipped):
    subjects = [mark.subject for mark in shipped.location.landmarks]
    assert len(set(subjects)) == len(subjects)
    assert all(subject[0] == subject[0].upper() for subject in subjects)


def test_cities_need_no_article(shipped):
    """A frame ends in a preposition; "à Le Caire" would be wrong."""
    articles = {"fr": ("Le ", "La ", "Les "), "es": ("El ", "La ", "Los ", "Las ")}
    begins = articles.get(shipped.language, ("The ", "Die ", "Der ", "Das "))
    assert not [mark.city for mark in shipped.location.landmarks if mark.city.startswith(begins)]


def test_grammar_is_large_enough(shipped):
    grammar = shipped.ioi
    assert len(grammar.names) >= 24
    assert min(len(grammar.templates), len(grammar.places), len(grammar.objects)) >= 8


def test_no_name_begins_another(shipped):
    """A search for one name in a prompt cannot find the other."""
    assert not [pair for pair in permutations(shipped.ioi.names, 2) if pair[1].startswith(pair[0])]


def test_templates_use_place_and_object_and_name_the_subject_last(shipped):
    for template in shipped.ioi.templates:
        fields = re.findall(r"{(\w+)}", template)
        assert fields == ["A", "B", "place", "S", "object"], template


def test_no_template_opens_with_a_name(shipped):
    """A tokenizer may split a name differently where no space stands before it."""
    assert not [template for template in shipped.ioi.templates if template.startswith("{")]


def test_names_stand_between_the_same_neighbours_everywhere(shipped):
    """Before a name comes what comes before the answer: a space, or in Chinese the familiar prefix."""
    before = shipped.answer_prefix or "小"
    for template in shipped.ioi.templates:
        assert all(template[template.index(field) - 1] == before for field in ("{A}", "{B}", "{S}")), template
        assert shipped.answer_prefix or template.endswith(before), template


@pytest.mark.parametrize(("language", "pattern"), UNCONTRACTED.items())
def test_articles_do_not_meet_an_uncontracted_preposition(language, pattern):
    texts = [text for template in read(language).ioi.templates for text in prompts(read(language), template)]
    assert not [text for text in texts if re.search(pattern, text)]


def test_mentions_are_whole_sentences_that_open_with_the_name(shipped):
    """They stand where a template's second sentence begins, so the name keeps the neighbours that names have there."""
    before, end = ("", ".") if shipped.answer_prefix else ("小", "。")
    assert len(shipped.ioi.mentions) >= 4
    assert all(mention.startswith(before + "{N}") for mention in shipped.ioi.mentions)
    assert all(mention.count(end) == 1 and mention.endswith(end) for mention in shipped.ioi.mentions)


def test_templates_have_one_sentence_before_that_of_the_subject(shipped):
    end = "." if shipped.answer_prefix else "。"
    for template in shipped.ioi.templates:
        assert template.count(end) == 1, template
        assert template.index("{B}") < template.index(end) < template.index("{S}"), template


def test_a_file_without_mentions_is_read(tmp_path):
    raw = valid()
    del raw["ioi"]["mentions"]
    assert load_stimuli("en", written(tmp_path, json.dumps(raw))).ioi.mentions == []


def test_scripts_do_not_mix(shipped):
    """Chinese prompts hold no Latin letters and no spaces; the others no Han characters."""
    frames = [shipped.location.frame.format(subject=mark.subject) for mark in shipped.location.landmarks]
    mentions = [mention.format(N=shipped.ioi.names[0]) for mention in shipped.ioi.mentions]
    texts = frames + mentions + [text for template in shipped.ioi.templates for text in prompts(shipped, template)]
    foreign = r"[A-Za-z ]" if shipped.script == "Han" else r"[\u4e00-\u9fff]"
    assert not [text for text in texts if re.search(foreign, text)]


def test_spanish_names_take_y():
    """Before an i sound "y" becomes "e", which would change the template."""
    assert not [name for name in read("es").ioi.names if re.match(r"(I|Í|Hi|Y)", name)]


def test_english_objects_take_a():
    assert not [thing for thing in read("en").ioi.objects if thing[0] in "aeiou"]
