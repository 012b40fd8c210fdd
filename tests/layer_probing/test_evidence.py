"""From an Outcome to the tree and the curves, on answers that a test made up."""

import numpy as np
import pandas as pd
import pytest
from layer_probing import made_up

from replications.layer_probing import evidence, stimuli
from replications.layer_probing.evidence import Held, Outcome

PARAMS = {"resamples": 50, "seed": 1}
TYPES = [f"w{i // 2}" for i in range(40)]  # every type as noun and as verb


def pair(right):
    """Answers on dev and test [layers, 3 seeds, words] that are right with these probabilities per layer."""
    draw, n_layers = np.random.default_rng(0), len(right)
    answers = {split: draw.random((n_layers, 3, 40)) < np.array(right)[:, None, None] for split in ("dev", "test")}
    shuffled = {f"{split}.shuffled": draw.random((n_layers, 3, 40)) < 0.5 for split in answers}
    article = np.stack([np.full((n_layers, 3), 0.2), np.full((n_layers, 3), 0.9)], axis=2)
    return {f"{split}.task": found for split, found in answers.items()} | shuffled | {"article": article}


def use(word, odds):
    """What removals cost at layers 0 and 5: these nats, where random subspaces cost a tenth."""
    clean = np.stack([np.full((2, 40), -3.0), np.full((2, 40), 2.0)], axis=1)
    lost = np.broadcast_to(np.array([word, odds])[None, :, None], clean.shape)
    found = {name: clean - lost for name in ("means", "inlp")} | {
        f"{name}_random": clean - lost / 10 for name in ("means", "inlp")
    }
    probes = {name: np.array([0.6, 0.9]) for name in ("probe", "probe_inlp", "probe_random")}
    return found | probes | {"clean": clean, "rank": np.array([1, 2]), "layers": np.array([0, 5])}


def of(**parts):
    given = {"series": {}, "words": {}, "pair": {}, "types": {"dev": TYPES, "test": TYPES}, "use": {}}
    return evidence.of(Outcome(**given | parts, seeds=3, counts={}), PARAMS)


def test_the_layer_of_the_article_is_chosen_on_dev_types():
    tree, curves = of(pair=pair([0.5, 0.95, 0.6]))
    chosen = tree["noun_verb"]["selected"]
    assert chosen["layer"]["value"] == 1
    assert chosen["over_layer0"]["ci_low"] > 0.2
    assert tree["noun_verb"]["types"]["value"] == 20
    assert tree["article"]["selected"]["difference"]["value"] == pytest.approx(0.7)
    assert set(curves["task"]) == {"noun_verb"}


def test_use_is_what_is_lost_over_a_random_subspace():
    tree, curves = of(pair=pair([0.5, 0.9]), use=use(word=-0.5, odds=1.0))
    found = tree["use"]
    assert found["log_p_clean"]["value"] == pytest.approx(-3)
    assert found["class_odds_clean"]["value"] == pytest.approx(2)
    for name in ("means", "inlp"):
        assert found[name]["mean_excess"]["value"] == pytest.approx(-0.45)
        assert found[name]["class_odds"]["mean_excess"]["value"] == pytest.approx(0.9)
        assert found[name]["class_odds"]["loss"]["5"]["value"] == pytest.approx(1)
    assert found["rank"] == {"0": pytest.approx({"value": 1, "ci_low": None, "ci_high": None, "n": 40}),
                             "5": pytest.approx({"value": 2, "ci_low": None, "ci_high": None, "n": 40})}  # fmt: skip
    at = curves[curves["task"] == "use"]
    assert set(at["layer"]) == {0, 5}
    assert set(at["series"]) == {f"{what}, {name}{kind}" for what in ("word", "class") for name in ("means", "inlp")
                                 for kind in ("", "_random")}  # fmt: skip


def test_sentences_are_counted_without_the_words_that_the_tokenizer_lost(monkeypatch):
    monkeypatch.setattr(stimuli, "load_task", made_up.tagged)
    monkeypatch.setattr(stimuli, "sources", made_up.sources)
    words = stimuli.treebank_words("fr", source="pud", train=20, test=4, seed=1)
    keep = np.ones(len(words.words), dtype=bool)
    lost = np.flatnonzero(~words.train)[0]
    keep[lost] = False
    right = np.zeros((3, 2, 19), dtype=bool)
    right[1, 0] = True  # one of two seeds
    right[2] = True
    outcome = Outcome({"main": {"pos.task": right, "deps.task": right}}, {"main": Held(words, keep)}, {}, {}, {}, 2, {})
    table = evidence.sentence_table({"measured": outcome, "control": outcome})
    assert table["words"].tolist() == [4, 5, 5, 5] * 4
    assert (table["layer0"] == 0).all()
    assert (table["layer1"] * 2 == table["layer2"]).all()
    assert (table["layer2"] == table["words"]).all()
    assert set(table["sentence"]) == set(words.ids[20:])
    assert set(table["corpus"]) == {"pud-fr"}


def test_curves_of_both_models_stand_under_each_other():
    frames = {name: of(pair=pair([0.5, 0.9]))[1] for name in ("measured", "control")}
    whole = evidence.joined(frames)
    assert list(whole) == ["weights", "task", "series", "layer", "value", "ci_low", "ci_high", "n"]
    assert len(whole) == 2 * len(frames["measured"])
    assert pd.api.types.is_integer_dtype(whole["layer"])
