"""Malformed tables are refused in one sentence that names the table, the row and what would be right."""

import json

import pytest

from replications.audit.relations import RELATIONS
from replications.audit.tables import checks, read_tables
from replications.errors import Refusal

GOOD = {
    "paper": "A paper", "where": "Table 1", "source": "full text", "relation": "difference",
    "columns": ["a - b", "a", "b"], "decimals": [1], "rows": {"first": [1.0, 3.0, 2.0]},
}  # fmt: skip


def write(tmp_path, **changes):
    file = tmp_path / "tables.yaml"
    file.write_text(json.dumps({"one": GOOD | changes}))
    return file


def test_a_curve_in_a_row_is_read_number_by_number(tmp_path):
    table = read_tables(write(tmp_path, rows={"first": [1.0, [3.0, 2.0]]}))["one"]
    assert table.rows["first"] == [1.0, 3.0, 2.0]


def test_the_committed_tables_use_every_relation():
    assert {table.relation for table in read_tables().values()} == set(RELATIONS)


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"relation": "geometric_mean"}, "one: relation: should be one of same"),
    ({"rows": {"first": [1.0, "n/a", 2.0]}}, "one: rows.first.1"),
    ({"rows": {}}, "one: rows"),
    ({"sense": "about"}, "one: sense"),
    ({"colour": "red"}, "one: colour"),
])  # fmt: skip
def test_a_bad_field_is_named(tmp_path, changes, sentence):
    with pytest.raises(Refusal, match=sentence):
        read_tables(write(tmp_path, **changes))


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"rows": {"first": [1.0, 3.0]}}, "row first: 2 numbers do not fit relation difference"),
    ({"relation": "kept", "rows": {"first": [1, 3, 0]}}, "row first: 3 numbers do not fit relation kept"),
])  # fmt: skip
def test_a_row_that_does_not_fit_its_relation_is_named(tmp_path, changes, sentence):
    with pytest.raises(Refusal, match=sentence):
        checks(read_tables(write(tmp_path, **changes)))


@pytest.mark.parametrize("text", ["", "[1, 2]", "one: [unclosed", "one: 3"])
def test_a_file_that_is_not_tables_is_refused(tmp_path, text):
    file = tmp_path / "tables.yaml"
    file.write_text(text)
    with pytest.raises(Refusal, match=r"tables\.yaml"):
        read_tables(file)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(Refusal, match="does not exist"):
        read_tables(tmp_path / "tables.yaml")
