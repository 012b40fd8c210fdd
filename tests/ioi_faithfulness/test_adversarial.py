"""Where the extra sentence stands, in every shipped language; and that behaviour is the model's own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_models import tiny_model
from toy_tokenizer import toy_encode

from replications.causal.stack import Stack
from replications.errors import Refusal
from replications.evidence import stats
from replications.ioi_faithfulness import adversarial
from replications.stimuli.language import languages, load_stimuli


@pytest.fixture
def prompt(helpers):
    text = "Then, Anna and Tom went to the store. Tom gave a ball to"
    return replace(helpers.prompts(1)[0], text=text, io="Anna", s="Tom")


def test_one_of_the_two_is_named_before_the_last_sentence(prompt):
    made = adversarial.texts(prompt, "{N} had a good day.", " ")
    assert made == {
        "base": prompt.text,
        "extra_s": "Then, Anna and Tom went to the store. Tom had a good day. Tom gave a ball to",
        "extra_io": "Then, Anna and Tom went to the store. Anna had a good day. Tom gave a ball to",
    }


@pytest.mark.parametrize("language", languages())
def test_in_every_language_the_sentence_stands_on_its_own(prompt, language):
    text = load_stimuli(language)
    names = {"A": text.ioi.names[0], "B": text.ioi.names[1], "S": text.ioi.names[1]}
    for template in text.ioi.templates:
        full = template.format(**names, place=text.ioi.places[0], object=text.ioi.objects[0])
        for mention in text.ioi.mentions:
            made = adversarial.texts(replace(prompt, text=full, io=names["A"], s=names["B"]), mention,
                                     text.answer_prefix)  # fmt: skip
            first, last = full.replace("。", "。|").replace(". ", ".| ").split("|")
            assert made["extra_io"] == first + text.answer_prefix + mention.format(N=names["A"]) + last
            assert "  " not in made["extra_s"]


def test_mentions_take_turns(prompt):
    made = adversarial.encoded([prompt, prompt], ["{N} slept.", "{N} had a good day."], toy_encode, " ")
    assert list(made) == list(adversarial.KINDS)
    assert made["base"][0] == made["base"][1] == toy_encode(prompt.text).ids
    assert len(made["extra_s"][0]) < len(made["extra_s"][1])


def test_a_language_without_mentions_is_refused(prompt):
    with pytest.raises(Refusal, match=r"ioi\.mentions"):
        adversarial.encoded([prompt], [], toy_encode, " ")


def test_behaviour_is_the_models_own(monkeypatch):
    monkeypatch.setattr(adversarial, "ROWS", 2)
    model = tiny_model("llama").hf_model
    rows, answers = [[3, 4, 5], [6, 7, 8, 9, 10], [11, 12]], torch.tensor([[5, 6], [7, 8], [9, 10]])
    found = adversarial.behaviour(Stack(model), rows, answers, "cpu")
    with torch.inference_mode():
        last = torch.stack([model(torch.tensor([row])).logits[0, -1] for row in rows])
    pairs = last.gather(1, answers)
    torch.testing.assert_close(found["logit_diff"], pairs[:, 0] - pairs[:, 1], atol=1e-4, rtol=0)
    torch.testing.assert_close(found["p_io"], last.softmax(-1).gather(1, answers)[:, 0], atol=1e-5, rtol=0)


def test_quantities_compare_with_the_base():
    def made(diff, p):
        return {"logit_diff": np.array(diff), "p_io": np.array(p)}

    found = {
        "base": made([4.0, 2.0], [0.5, 0.5]),
        "extra_s": made([4.0, 2.0], [0.6, 0.6]),
        "extra_io": made([1.0, -0.5], [0.3, 0.3]),
    }
    tree = adversarial.quantities(found, stats.resample_weights(2, resamples=50, seed=0))
    assert tree["extra_io"]["error"]["value"] == 0.5
    assert tree["extra_io"]["more_errors"]["value"] == 0.5
    assert tree["extra_io"]["share"]["value"] == pytest.approx(0.5 / 6)
    assert tree["extra_s"]["p_io_change"]["value"] == pytest.approx(0.1)
    assert tree["extra_s"]["share"]["value"] == pytest.approx(1)
