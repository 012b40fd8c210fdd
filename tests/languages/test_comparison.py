"""Comparison of languages on evidence written by hand."""

import drawn
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from replications import cli, settings
from replications.errors import Refusal
from replications.evidence.run import Run, write_tables
from replications.languages import comparison, figures


def write(folder, language, accuracy, *, sentences=60, start=0, corpus=None, seed=0):
    """Evidence of one language: binomial answers of `accuracy` by layer, by random weights of .3 everywhere."""
    draw = np.random.default_rng(seed)
    by_weights = {"measured": accuracy, "control": [0.3] * len(accuracy)}
    rows = [
        {"weights": weights, "corpus": corpus or f"pud-{language}", "task": task, "sentence": f"w0{number}"}
        | {"words": 20, **{f"layer{i}": draw.binomial(20, p) for i, p in enumerate(by_weights[weights])}}
        for weights in by_weights
        for task in ("pos", "deps")
        for number in range(start, start + sentences)
    ]
    write_tables(folder / language, {"sentences": pd.DataFrame(rows)})


def value(table, quantity, language, other="", weights="measured", task="pos"):
    wanted = {"weights": weights, "task": task, "quantity": quantity, "language": language, "other": other}
    (row,) = table[(table[list(wanted)] == pd.Series(wanted)).all(axis=1)].to_dict("records")
    return row


def test_curves_alike_agree_and_opposite_ones_do_not(tmp_path):
    write(tmp_path, "de", [0.5, 0.6, 0.7, 0.8, 0.9])
    write(tmp_path, "en", [0.5, 0.6, 0.7, 0.8, 0.9], seed=1)
    write(tmp_path, "zh", [0.9, 0.8, 0.7, 0.6, 0.5], seed=2)
    table = comparison.compare(tmp_path, tmp_path / "tiny", resamples=100, seed=0)
    assert value(table, "agreement", "de", "en")["value"] == 1
    assert value(table, "agreement", "de", "zh")["ci_high"] < -0.9
    assert value(table, "best_depth", "de")["value"] == 1
    assert value(table, "best_depth", "zh")["value"] == 0
    assert value(table, "layer0_accuracy", "zh")["value"] == value(table, "best_accuracy", "zh")["value"]
    pairs = [value(table, "agreement", *pair)["value"] for pair in (("de", "en"), ("de", "zh"), ("en", "zh"))]
    assert value(table, "agreement", "all", "all")["value"] == pytest.approx(np.mean(pairs))
    assert value(table, "best_accuracy", "zh")["value"] == pytest.approx(0.9, abs=0.03)
    assert value(table, "best_accuracy", "zh", weights="control")["value"] == pytest.approx(0.3, abs=0.05)
    assert len(table) == 2 * 2 * (3 * 3 + 3 + 1)
    curves = Run(tmp_path / "tiny").tables["curves"]
    zh = curves[(curves["weights"] == "measured") & (curves["task"] == "pos") & (curves["language"] == "zh")]["value"]
    assert zh.iloc[0] == pytest.approx(value(table, "layer0_accuracy", "zh")["value"], rel=1e-5)
    assert zh.max() == pytest.approx(value(table, "best_accuracy", "zh")["value"], rel=1e-5)


def test_the_comparison_is_drawn_from_its_tables(tmp_path):
    for seed, language in enumerate(("de", "en")):
        write(tmp_path, language, [0.5, 0.9], seed=seed)
    comparison.compare(tmp_path, tmp_path / "tiny", resamples=20, seed=0)
    figures.draw(Run(tmp_path / "tiny"), tmp_path / "drawn", "tiny, all")
    assert drawn.files(tmp_path / "drawn") == drawn.pictures("languages")


def test_the_command_reads_the_models_evidence(tmp_path, monkeypatch):
    folder = tmp_path / "reports" / "layer_probing" / "multilingual-e5-small"
    for language in ("de", "en"):
        write(folder, language, [0.5, 0.9])
    for name in ("params.yaml", "data"):
        (tmp_path / name).symlink_to(settings.ROOT / name)
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    result = CliRunner().invoke(cli.app, ["languages", "multilingual-e5-small"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert drawn.files(tmp_path / "reports" / "languages") == {
        f"multilingual-e5-small/all/tables/{name}.csv" for name in ("comparison", "curves")
    }


def test_only_shared_sentences_count(tmp_path):
    write(tmp_path, "de", [0.5, 0.9], sentences=50)
    write(tmp_path, "en", [0.5, 0.9], sentences=50, start=20)
    table = comparison.compare(tmp_path, tmp_path / "tiny", resamples=20, seed=0)
    assert set(table["n"]) == {30}


def test_refuses_one_language_and_sentences_that_are_not_parallel(tmp_path):
    write(tmp_path, "de", [0.5, 0.9])
    write(tmp_path, "en", [0.5, 0.9], corpus="ewt-uds")
    with pytest.raises(Refusal, match="fewer than two languages"):
        comparison.compare(tmp_path, tmp_path / "tiny", resamples=20, seed=0)


def test_refuses_languages_without_a_shared_sentence(tmp_path):
    write(tmp_path, "de", [0.5, 0.9], sentences=10)
    write(tmp_path, "en", [0.5, 0.9], sentences=10, start=10)
    with pytest.raises(Refusal, match="the same seed"):
        comparison.compare(tmp_path, tmp_path / "tiny", resamples=20, seed=0)
