"""The concepts file is what it says, and a malformed one is refused by file and row."""

import json

import pytest

from replications.errors import Refusal
from replications.files import read_yaml
from replications.sae_steering.concepts import FILE, read_concepts
from replications.settings import room_params

RAW = read_yaml(FILE)


def test_the_file_of_the_room_has_a_try_for_every_multiple():
    params = room_params("sae_steering", "default")
    found = read_concepts(tries=len(params["multiples"]))
    assert len(found.concepts) == 6
    assert len(found.prompts) >= room_params("sae_steering", "full")["prompts"]
    assert len(found.neutral.held_out) >= room_params("sae_steering", "full")["damage_sentences"]


def test_no_sentence_is_used_twice():
    found = read_concepts()
    groups = [*found.concepts, found.neutral]
    texts = [text for group in groups for text in (*group.examples, *group.held_out)]
    assert len(set(texts)) == len(texts)


def broken(tmp_path, change):
    raw = read_yaml(FILE)
    change(raw)
    file = tmp_path / "concepts.yaml"
    file.write_text(json.dumps(raw))
    return file


@pytest.mark.parametrize(("change", "said"), [
    (lambda raw: raw["concepts"][1].pop("topics"), r"concepts\.1 \(sea\)\.topics: is missing"),
    (lambda raw: raw["concepts"][0]["lexicon"].append("Xyz"), r"concepts\.0 \(war\)\.lexicon: .*lower case, not 'Xyz'"),
    (lambda raw: raw["concepts"][5].update(pattern="("), r"concepts\.5 \(code\)\.pattern: .*regular expression"),
    (lambda raw: raw["concepts"][2].update(examples=[]), r"concepts\.2 \(rights\)\.examples: .*at least 1"),
    (lambda raw: raw["concepts"][2].update(colour="red"), r"concepts\.2 \(rights\)\.colour: is unknown"),
    (lambda raw: raw["concepts"].insert(0, "war"), r"concepts\.0: should be a mapping, not 'war'"),
    (lambda raw: raw.update(concepts=raw["concepts"][:1]), "concepts: .*at least 2"),
    (lambda raw: raw["concepts"][1].update(name="war"), "concept war is there twice"),
    (lambda raw: raw["concepts"][3]["prefixes"].pop(), "concept money has 3 prefixes; it should have 4"),
    (lambda raw: raw.pop("neutral"), "neutral: is missing"),
    (lambda raw: raw["prompts"].append(raw["prompts"][0].upper()), "prompts: .*given twice: The next morning"),
    (lambda raw: raw["prompts"].append("Then\u200b"), r"prompts.16: .*cannot be seen, as U\+200B"),
    (lambda raw: raw["concepts"][0]["topics"].append("gue\u0301rre"), r"concepts\.0 \(war\)\.topics\..*accents in one"),
    (lambda raw: raw["concepts"][3]["prefixes"].append("So\t"), r"concepts\.3 \(money\)\.prefixes\.4: .*U\+0009"),
])  # fmt: skip
def test_a_malformed_file_is_refused(tmp_path, change, said):
    with pytest.raises(Refusal, match=said) as refused:
        read_concepts(broken(tmp_path, change), tries=4)
    assert str(refused.value).startswith(f"{tmp_path / 'concepts.yaml'}: ")


@pytest.mark.parametrize("text", ["[1", "", "- a"])
def test_what_is_no_such_file_is_refused(tmp_path, text):
    file = tmp_path / "concepts.yaml"
    file.write_text(text)
    with pytest.raises(Refusal, match=r"concepts\.yaml"):
        read_concepts(file)
