"""Which prompts the stage takes, and what it compares with."""

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import pytest
from ioi_circuit.test_wang_stimuli import SOURCE

from replications.claims.ledger import load_claims
from replications.ioi_circuit import published, stage
from replications.ioi_circuit.classes import CLASSES
from replications.models.load import Loaded
from replications.stimuli.language import languages, load_stimuli

WORD = re.compile(r" ?\w+| ?[^\w\s]")
PARAMS = {"n_prompts": 12, "n_prefixed": 4, "seed": 0}


class Words:
    """A tokenizer with one token per word or sign, names included, and a BOS of its own that it never adds."""

    added_tokens_decoder: ClassVar = {}

    def get_vocab(self):
        return {}

    def __call__(self, texts, **options):
        spans = [[(m.start(), m.end()) for m in WORD.finditer(text)] for text in texts]
        ids = [[sum(ord(c) * 31**i for i, c in enumerate(text[a:b].strip())) % 999_983 + 10 for a, b in row]
               for text, row in zip(texts, spans, strict=True)]  # fmt: skip
        return {"input_ids": ids, "offset_mapping": spans}


def loaded(model, bos=1):
    return Loaded(None, Words(), SimpleNamespace(id=model), bos, None)


@pytest.fixture
def dataset(monkeypatch, tmp_path):
    file = tmp_path / "ioi_dataset.py"
    file.write_text(SOURCE)
    monkeypatch.setattr(stage.datasets, "fetch", lambda dataset: {file.name: file})


def test_the_papers_model_has_the_papers_prompts_first_and_without_bos(dataset):
    sets = stage.prompt_sets(loaded("gpt2"), load_stimuli("en"), PARAMS)
    assert list(sets) == ["paper", "ours"]
    paper, ours = sets.values()
    assert (paper.bos_id, ours.bos_id) == (None, 1)
    assert all(prompt.ids[0] != 1 for prompt in paper.prompts)
    assert all(prompt.ids[0] == 1 for prompt in ours.prompts)
    assert all(prompt.io in SOURCE for prompt in paper.prompts)
    assert all(ids[-len(prompt.ids) + 2 :] == prompt.ids[2:] for prompt, ids in
               zip(paper.prompts[:4], paper.prefixed, strict=True))  # fmt: skip


def test_every_other_run_has_our_prompts_alone():
    for model, language in (("smollm2-135m", "en"), ("gpt2", "fr")):
        assert list(stage.prompt_sets(loaded(model), load_stimuli(language), PARAMS)) == ["ours"]


@pytest.mark.parametrize("code", languages())
def test_unrelated_sentences_end_and_name_nobody(code):
    language = load_stimuli(code)
    sentences = stage.unrelated(language)
    assert len(set(sentences)) > 50
    for sentence in sentences:
        assert sentence.endswith("。" if code == "zh" else ". ")
        assert not any(name in sentence for name in language.ioi.names)


def test_published_sets_are_those_of_the_claims():
    claimed = {}
    for claim in load_claims("ioi_circuit"):
        if claim.comparison == "overlap":
            assert claim.quantity.startswith("classes.")
            claimed.setdefault(claim.model, {})[claim.quantity.split(".")[1]] = claim.published
    assert claimed == published.HEADS


def test_there_are_published_sets_for_the_papers_models_in_their_language_only():
    assert published.sets("gpt2", "en")["name_mover"] == ["9.9", "10.0", "9.6"]
    assert set(published.sets("gpt2", "en")) == set(CLASSES)
    assert published.sets("gpt2", "fr") == published.sets("smollm2-135m", "en") == {}


def test_the_digest_says_when_prompts_differ():
    sets = stage.prompt_sets(loaded("smollm2-135m"), load_stimuli("en"), PARAMS)["ours"]
    assert stage._digest(sets) == stage._digest(replace(sets))
    assert stage._digest(sets) != stage._digest(sets.first(11))
