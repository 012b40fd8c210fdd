"""The stage from tasks to evidence, on a tiny model: files, controls, and tasks that cannot be had."""

import json
from dataclasses import replace
from types import SimpleNamespace

import alone
import drawn
import pytest
import torch
from tiny_models import tiny_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from replications.claims.evidence import read_evidence
from replications.corpora.edges import EdgeTask, Sentence, Target
from replications.edge_probing import stage
from replications.errors import Refusal, Unavailable
from replications.models import twins
from replications.probing import threads

QUICK = {"batch": 8, "learning_rate": 0.01, "mix_factor": 1, "validate_every": 4, "max_steps": 8}
PARAMS = {
    "seed": 1, "sources": {"en": {"pos": "a", "deps": "a", "srl": "b"}, "other": {"srl": "b"}}, "drawn_with": None,
    "longest": 30, "n_train": 24, "n_dev": 8, "n_test": 12, "seeds": 2, "depths": None, "twin_depths": 2,
    "rhythm": {"large": QUICK, "small": QUICK}, "resamples": 50,
}  # fmt: skip


def tiny(**_):
    """A three-layer encoder whose pieces are w<number>."""
    inner = Tokenizer(models.WordLevel({f"w{i}": i for i in range(60)}, unk_token="w0"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="w0")
    entry = SimpleNamespace(id="tiny", n_layers=3, kind="encoder")
    return SimpleNamespace(hf_model=tiny_model("bert").hf_model, tokenizer=tokenizer, bos_id=1, eos_id=2, entry=entry)


def task(name, language, source="a"):
    """Label: whether a word's number is odd; `srl` cannot be had."""
    if name == "srl":
        raise Unavailable("srl cannot be had here: no network")
    sentences = []
    for number in range(60):
        words = tuple(f"w{3 + (7 * number + 5 * i) % 50}" for i in range(5))
        spans = [(i, i + 1) for i in range(5)]
        labels = [("odd" if int(word[1:]) % 2 else "even",) for word in words]
        second = [None] * 5 if name == "pos" else spans[1:] + spans[:1]
        targets = tuple(Target(a, b, c) for a, b, c in zip(spans, second, labels, strict=True))
        sentences.append(Sentence(f"s{number}", words, targets))
    splits = {"train": tuple(sentences[:30]), "dev": tuple(sentences[30:42]), "test": tuple(sentences[42:])}
    return EdgeTask(name, language, "micro_f1", ("even", "odd"), splits, ("even", "odd"), ("made-up",))


def in_small(patch, folder):
    """The stage with a tiny model in place of a catalogue's, and made-up tasks."""
    patch.setenv("REPLICATIONS_CACHE", str(folder / "cache"))
    patch.setattr(stage, "load_task", task)
    patch.setattr(twins, "load_model", alone.loading(lambda seed: tiny()))
    patch.setattr(stage, "room_params", lambda *_: PARAMS)


def measured(out):
    return stage.run(model="tiny", language="en", device="cpu", profile="default", out=out)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folder and trees of a run that nothing disturbed, on two threads: both tasks at once."""
    folder = tmp_path_factory.mktemp("edge_probing")
    out = folder / "reports" / "edge_probing" / "tiny" / "en"
    with pytest.MonkeyPatch.context() as patch:
        in_small(patch, folder)
        patch.setattr(threads.torch, "get_num_threads", lambda: 2)
        return out, measured(out)


def test_the_stage_writes_whole_evidence(whole, tmp_path):
    out, trees = whole
    assert drawn.files(out) == drawn.evidence("curves")
    assert drawn.draw("edge_probing", out, tmp_path) == drawn.pictures("bars", "deltas", "curves")
    evidence = read_evidence(out / "metrics.json")
    assert set(evidence.measured["f1_full"]) == set(evidence.control["f1_full"]) == {"pos", "deps"}
    told = json.loads((out / "provenance.json").read_text())
    assert told["not_measured"] == {"srl": "srl cannot be had here: no network"}
    assert told["tasks"]["pos"]["train_sentences"] == 24
    assert told["tasks"]["pos"]["probes"] == 2 * 4 + 2 + 1
    assert told["text"]["words_lost"] == 0
    assert trees["measured"]["shuffled"]["pos"]["n"] == 12


def test_a_killed_run_goes_on_with_the_next_task(whole, tmp_path, monkeypatch):
    in_small(monkeypatch, tmp_path)
    ran, real = [], stage.measure

    def killed_at_the_second(*args):
        if len(ran) == 1:
            raise KeyboardInterrupt
        ran.append(1)
        return real(*args)

    monkeypatch.setattr(stage, "measure", killed_at_the_second)
    monkeypatch.setattr(threads.torch, "get_num_threads", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        measured(tmp_path)
    assert not list(tmp_path.glob("*.json"))
    monkeypatch.setattr(stage, "measure", lambda *args: ran.append(2) or real(*args))
    again, (_, undisturbed) = measured(tmp_path), whole
    assert ran == [1, 2]
    assert again == undisturbed


def test_nothing_to_measure_is_refused(monkeypatch):
    monkeypatch.setattr(stage, "load_task", task)
    with pytest.raises(Refusal, match="none of its tasks can be had in fr: srl cannot be had here"):
        stage.load_tasks(PARAMS, "fr")


def test_the_majority_answers_the_most_frequent_scored_label():
    labels = [[[1, 0, 0], [0, 1, 0]], [[1, 0, 0], [0, 0, 1]]]
    made = [SimpleNamespace(labels=torch.tensor([rows, rows]).bool(), targets=len(rows)) for rows in labels]
    data = SimpleNamespace(train=made, test=made, scored=torch.tensor([False, True, True]))
    assert stage.majority(data).tolist() == [[1, 0], [1, 2], [0, 1]]  # label 1: hits, wrong answers, missed


def test_tasks_of_one_treebank_read_the_same_short_sentences():
    """Drawn among the sentences in which the partner has a target."""
    whole = task("pos", "en")
    some = {s.id for split in whole.splits.values() for s in split[::2]}
    long = Sentence("long", tuple(f"w{i}" for i in range(31)), (Target((0, 1), None, ("odd",)),))
    partner = replace(whole, splits={
        split: (*(s if s.id in some else replace(s, targets=()) for s in sentences), long)
        for split, sentences in whole.splits.items()
    })  # fmt: skip
    first, second = (stage.made_small(one, partner, PARAMS | {"n_train": 9}) for one in (whole, task("deps", "en")))
    for split in whole.splits:
        ids = [s.id for s in first.splits[split]]
        assert ids == [s.id for s in second.splits[split]]
        assert set(ids) <= some
    assert len(first.splits["train"]) == 9
    assert "long" not in {s.id for s in stage.made_small(partner, partner, PARAMS).splits["train"]}
    assert stage.made_small(whole, partner, PARAMS | {"n_dev": None}) is whole


def test_a_task_is_read_from_the_corpus_that_is_pinned(monkeypatch):
    asked = []
    monkeypatch.setattr(stage, "load_task", lambda *args, source: asked.append((*args, source)) or task(*args))
    tasks, unavailable = stage.load_tasks(PARAMS | {"drawn_with": {"deps": "pos"}}, "en")
    assert (set(tasks), set(unavailable)) == ({"pos", "deps"}, {"srl"})
    assert asked == [("pos", "en", "a"), ("deps", "en", "a"), ("srl", "en", "b")]  # deps' partner is not read again


@pytest.mark.parametrize(("layers", "most", "wanted"), [
    (7, 13, list(range(7))), (5, None, list(range(5))), (31, 4, [0, 10, 20, 30]), (19, 4, [0, 6, 12, 18]), (7, 1, [0]),
])  # fmt: skip
def test_depths_are_evenly_spaced(layers, most, wanted):
    assert stage.spaced(layers, most) == wanted


def test_probes_are_of_each_depth_and_seed_of_the_twin_and_of_dealt_labels():
    probes = stage.lineup(9, PARAMS | {"depths": 5})
    assert [p.depth for p in probes] == [0, 2, 4, 6, 8, 0, 2, 4, 6, 8, 0, 8, 8]
    assert [(p.seed, p.source, p.shuffled) for p in probes[::5]] == [(1, 0, False), (2, 0, False), (1, 1, False)]
    assert probes[-1].shuffled
