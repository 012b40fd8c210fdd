"""The stage from corpora to evidence on a tiny model: files, controls, resumption, an encoder, another language."""

import json

import drawn
import pandas as pd
import pytest
from layer_probing import made_up

from replications.claims.evidence import find, read_evidence
from replications.claims.ledger import load_claims
from replications.errors import Unavailable
from replications.layer_probing import probe_series, stage, stimuli
from replications.models import twins
from replications.probing import threads


def in_small(patch, folder):
    """Run the stage on a tiny model of a family, in `folder`: ready(family, languages, language)."""
    patch.setenv("REPLICATIONS_CACHE", str(folder / "cache"))
    patch.setattr(stimuli, "load_task", made_up.tagged)
    patch.setattr(stimuli, "noun_verb", made_up.ambiguous)
    patch.setattr(stimuli, "sources", made_up.sources)
    patch.setattr(stage, "room_params", lambda *_: made_up.PARAMS)

    def run(family="llama", languages=("en",), language="en"):
        model = made_up.loaded(family, languages)
        patch.setattr(twins, "load_model", lambda *_, **__: model)
        patch.setattr(stage.entries, "find", lambda _: model.entry)
        out = folder / "reports" / "layer_probing" / "tiny" / language
        stage.run(model="tiny", language=language, device="cpu", profile="default", out=out)
        return out

    return run


@pytest.fixture
def ready(monkeypatch, tmp_path):
    return in_small(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def english(tmp_path_factory):
    """Folder of a run on a decoder in English."""
    with pytest.MonkeyPatch.context() as patch:
        yield in_small(patch, tmp_path_factory.mktemp("english"))()


def test_a_decoder_in_english_gives_whole_evidence(english, tmp_path):
    out = english
    assert drawn.files(out) == drawn.evidence("curves", "sentences")
    assert drawn.draw("layer_probing", out, tmp_path) == drawn.pictures("series", "noun_verb", "use")
    evidence = read_evidence(out / "metrics.json")
    for claim in load_claims("layer_probing"):
        if claim.general and "depth" not in str(claim.general.quantity) and "first_half" not in claim.general.quantity:
            assert find(evidence.measured, claim.general), claim.id  # a place of gain needs a gain
    assert "use" not in evidence.control
    assert {"pos", "deps", "noun_verb", "article"} <= set(evidence.control)
    told = json.loads((out / "provenance.json").read_text())
    assert told["corpora"] == {"main": ["own-en"]}
    assert told["counts"]["main"]["train_sentences"] == 24
    assert told["counts"]["minimal_pair"] == {"words": 38, "words_lost_by_the_tokenizer": 0}


def test_curves_and_sentences_are_tidy(english):
    out = english
    curves = pd.read_csv(out / "tables" / "curves.csv")
    assert set(curves["weights"]) == {"measured", "control"}
    one = curves[(curves["weights"] == "measured") & (curves["task"] == "pos") & (curves["series"] == "accuracy")]
    assert one["layer"].tolist() == [0, 1, 2, 3]
    sentences = pd.read_csv(out / "tables" / "sentences.csv")
    assert set(sentences["task"]) == {"pos", "deps"}
    assert set(sentences["weights"]) == {"measured", "control"}
    assert (sentences[["layer0", "layer3"]].to_numpy() <= sentences[["words"]].to_numpy()).all()


def test_an_encoder_without_a_head_is_only_probed(ready, tmp_path):
    out = ready("bert")
    assert drawn.draw("layer_probing", out, tmp_path) == drawn.pictures("series", "noun_verb")
    assert "use" not in read_evidence(out / "metrics.json").measured


def test_a_multilingual_model_is_also_probed_on_the_parallel_treebank(ready):
    out = ready(languages=("en", "fr"))
    tree = read_evidence(out / "metrics.json").measured
    assert {"pos", "deps"} == set(tree["parallel"])
    assert set(pd.read_csv(out / "tables" / "sentences.csv")["corpus"]) == {"pud-en"}


def test_another_language_has_the_parallel_treebank_alone(ready, tmp_path):
    out = ready(languages=("en", "fr"), language="fr")
    tree = read_evidence(out / "metrics.json").measured
    assert set(tree) == {"pos", "deps"}
    assert "mdl" not in tree["pos"]
    assert set(pd.read_csv(out / "tables" / "sentences.csv")["corpus"]) == {"pud-fr"}
    assert drawn.draw("layer_probing", out, tmp_path) == drawn.pictures("series")


def test_a_treebank_of_tags_alone_is_probed_for_parts_of_speech(ready):
    out = ready(languages=("en", "id"), language="id")
    tree = read_evidence(out / "metrics.json").measured
    assert set(tree) == {"pos", "parallel"}
    assert {"pos", "deps"} == set(tree["parallel"])
    assert drawn.files(out) == drawn.evidence("curves", "sentences")


def test_a_parallel_treebank_that_cannot_be_had_stops_the_run(ready, monkeypatch):
    """Evidence with some of its quantities would look like another result."""

    def offline(name, language, source):
        if source == "pud":
            raise Unavailable("pud-en cannot be had here: no network")
        return made_up.tagged(name, language, source)

    monkeypatch.setattr(stimuli, "load_task", offline)
    with pytest.raises(Unavailable, match="pud-en cannot be had here"):
        ready(languages=("en", "fr"))


def test_the_same_run_writes_the_same_bytes(english, ready):
    first = {path.name: path.read_bytes() for path in english.rglob("*.*")}
    assert first == {path.name: path.read_bytes() for path in ready().rglob("*.*")}


def test_a_killed_run_goes_on_with_the_next_layer(english, ready, monkeypatch):
    monkeypatch.setattr(threads.torch, "get_num_threads", lambda: 1)  # one layer after another
    done, real = [], probe_series.probe_layer

    def killed_at_the_third(*args):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(1)
        return real(*args)

    monkeypatch.setattr(probe_series, "probe_layer", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        ready()
    monkeypatch.setattr(probe_series, "probe_layer", lambda *args: done.append(2) or real(*args))
    assert (ready() / "metrics.json").read_bytes() == (english / "metrics.json").read_bytes()
    assert done == [1, 1] + [2] * 6  # two layers of the trained model were there; four each are needed


def test_a_corpus_that_cannot_be_had_is_said(ready, monkeypatch):
    def absent(*_, **__):
        raise Unavailable("ewt cannot be had here: no network")

    monkeypatch.setattr(stimuli, "load_task", absent)
    with pytest.raises(Unavailable, match="ewt cannot be had"):
        ready()
