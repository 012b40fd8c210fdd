"""What a run leaves: written whole or without metrics.json, and read as it was written."""

from dataclasses import replace

import pandas as pd
import pytest

from replications.errors import Refusal
from replications.evidence.run import Asked, Run, by_weights, made_by, write_run, write_tables, write_tree
from replications.files import read_json

TABLE = pd.DataFrame({"token": ["NA", "nan", 'a "b"\nc', "None"], "value": [1.5, None, 0.1 + 0.2, -0.0], "n": 3})


def test_a_run_is_read_as_it_was_written(tmp_path):
    assert write_run(tmp_path, {"measured": {"a": 1}}, {"one": TABLE}, {"seed": 7}) == {"measured": {"a": 1}}
    run = Run(tmp_path)
    read = run.tables["one"]
    assert read["token"].tolist() == TABLE["token"].tolist()
    assert read["value"].fillna(9).tolist() == [1.5, 9, 0.3, 0.0]
    assert (run.metrics, run.provenance) == ({"measured": {"a": 1}}, {"seed": 7})
    assert list(run.tables) == ["one"]
    assert "one" in run.tables
    assert "two" not in run.tables


def test_a_run_goes_on_only_where_everything_asked_for_is_the_same(tmp_path):
    asked = Asked("room", "model", "en", "cpu", {"seed": 1}, tmp_path)
    assert asked.identity(text="a") == asked.identity(text="a")
    for other in ({"room": "x"}, {"model": "x"}, {"language": "x"}, {"device": "x"}, {"params": {"seed": 2}}):
        assert replace(asked, **other).identity(text="a") != asked.identity(text="a")
    assert asked.identity(text="b") != asked.identity(text="a")
    assert replace(asked, out=tmp_path / "elsewhere").identity() == asked.identity()


def test_a_room_without_models_refuses_all_others():
    asked = Asked("room", "toy", "en", "cpu", {}, None)
    asked.check_only("toy", "en", "trains toys")
    for other in ({"model": "gpt2"}, {"language": "fr"}):
        with pytest.raises(Refusal, match="room room trains toys: model should be toy and language en, not "):
            replace(asked, **other).check_only("toy", "en", "trains toys")


def test_a_toy_is_made_by_torch_alone():
    made = made_by(Asked("room", "toy", "en", "cpu", {"seed": 1}, None))
    assert made.keys() == {"versions", "machine", "threads", "device", "dtype", "params"}
    assert made["versions"].keys() == {"torch"}


def test_tables_of_both_weights_stand_under_each_other():
    table = by_weights({"measured": 1, "control": 2}, lambda value: pd.DataFrame({"value": [value, value]}))
    assert table.to_dict("list") == {"value": [1, 1, 2, 2], "weights": ["measured"] * 2 + ["control"] * 2}


def test_a_table_without_rows_has_its_header(tmp_path):
    write_tables(tmp_path, {"none": TABLE[:0]})
    assert list(Run(tmp_path).tables["none"].columns) == ["token", "value", "n"]


@pytest.mark.parametrize("fault", ["tables", "provenance"])
def test_metrics_are_there_when_all_is(tmp_path, fault):
    provenance = {"seed": float("nan") if fault == "provenance" else 1}
    (tmp_path / "tables").touch() if fault == "tables" else None
    with pytest.raises((OSError, ValueError)):
        write_run(tmp_path, {"measured": {}}, {"one": TABLE}, provenance)
    assert not (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "does not exist"),
        (b"a,b\n1,2\n3\n", "is cut off or damaged: every line should have as many fields as the first"),
        (b"a,b\n1,2\n3,4", "is cut off or damaged"),
        (b"", "is cut off or damaged"),
        (b"a,b\n1,2,3\n", "is cut off or damaged"),
        (b"a\n\xff\n", "is not UTF-8"),
    ],
)
def test_a_damaged_table_is_named(tmp_path, text, said):
    (tmp_path / "tables").mkdir()
    if text is not None:
        (tmp_path / "tables" / "one.csv").write_bytes(text)
    with pytest.raises(Refusal, match=rf"tables/one\.csv {said}"):
        Run(tmp_path).tables["one"]


def test_a_tree_lies_beside_the_tables(tmp_path):
    write_tree(tmp_path, "cards", {"pages": [{"site": "a"}]})
    assert Run(tmp_path).tree("cards") == read_json(tmp_path / "tables" / "cards.json") == {"pages": [{"site": "a"}]}
