import errno
import hashlib
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replications import files
from replications.errors import Refusal

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.none() | st.booleans() | st.text()
TREES = st.recursive(NUMBERS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


def test_json_has_sorted_keys_six_digits_and_a_final_newline(tmp_path):
    path = files.write_json(tmp_path / "deep" / "m.json", {"b": 1 / 3, "a": [2, "é"], "c": None})
    assert path.read_text(encoding="utf-8") == '{\n "a": [\n  2,\n  "é"\n ],\n "b": 0.333333,\n "c": null\n}\n'


@given(TREES)
def test_rounding_twice_changes_nothing_and_survives_json(tree):
    once = files.rounded(tree)
    assert files.rounded(once) == once
    assert json.loads(json.dumps(once)) == once


@given(st.floats(min_value=1e-300, max_value=1e300))
def test_rounding_keeps_six_significant_digits(value):
    assert abs(files.rounded(value) - value) <= abs(value) * 5.1e-6


def test_arrays_and_their_scalars_become_plain_numbers():
    numpy = pytest.importorskip("numpy")
    tree = {"x": numpy.float32(0.1), "n": numpy.int64(3), "v": numpy.array([1.0, 2.0]), "yes": numpy.bool_(True)}
    assert files.rounded(tree) == {"x": 0.1, "n": 3, "v": [1.0, 2.0], "yes": True}


def test_nan_is_refused_and_leaves_the_old_file(tmp_path):
    path = files.write_json(tmp_path / "m.json", {"a": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}


def test_a_write_that_dies_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = files.write_text(tmp_path / "t.txt", "old")

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["t.txt"]


def test_csv_takes_rows_and_frames_alike(tmp_path):
    pandas = pytest.importorskip("pandas")
    rows = [{"a": 1, "b": 2 / 3, "c": None}, {"a": 2, "b": float("nan"), "c": "x,y"}]
    text = files.write_csv(tmp_path / "rows.csv", rows).read_bytes()
    assert text == b'a,b,c\n1,0.666667,\n2,,"x,y"\n'
    assert files.write_csv(tmp_path / "frame.csv", pandas.DataFrame(rows)).read_bytes() == text


def test_csv_keeps_the_header_of_an_empty_table(tmp_path):
    assert files.write_csv(tmp_path / "none.csv", [], columns=["a", "b"]).read_text() == "a,b\n"


def test_written_files_are_as_readable_as_any_other(tmp_path):
    (tmp_path / "plain").touch()
    written = files.write_text(tmp_path / "t.txt", "x")
    assert written.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("content", ['{"measured": {"a"', "", "nan but not json"])
def test_a_cut_json_is_refused_by_name(tmp_path, content):
    path = tmp_path / "metrics.json"
    path.write_text(content)
    with pytest.raises(Refusal, match=r"metrics.json is not valid JSON"):
        files.read_json(path)


def test_a_missing_json_is_refused_by_name(tmp_path):
    with pytest.raises(Refusal, match=r"gone.json does not exist"):
        files.read_json(tmp_path / "gone.json")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff\xfe{}", "is not UTF-8: byte 0 is 0xff"),
        (b"[" * 100_000, "is not valid JSON .*nested too deep"),
        (b"[NaN]", "is not valid JSON .*NaN is no JSON number"),
        (b'{"a": -Infinity}', "is not valid JSON .*-Infinity is no JSON number"),
        (b"9" * 5000, "is not valid JSON "),
        (b"[1]", "is not valid JSON .*no object"),
    ],
)
def test_a_json_that_is_none_is_refused_in_a_sentence(tmp_path, data, said):
    path = files.write_bytes(tmp_path / "m.json", data)
    with pytest.raises(Refusal, match=rf"m\.json {said}") as refusal:
        files.read_json(path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("read", [files.read_text, files.read_yaml, files.read_json])
def test_what_is_no_text_file_is_refused_by_name(tmp_path, read):
    with pytest.raises(Refusal, match=r"gone\.txt does not exist"):
        read(tmp_path / "gone.txt")
    with pytest.raises(Refusal, match="cannot be read: Is a directory"):
        read(tmp_path)
    (tmp_path / "latin").write_bytes("a: né".encode("latin-1"))
    with pytest.raises(Refusal, match="latin is not UTF-8: byte 4 is 0xe9"):
        read(tmp_path / "latin")


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null"])
def test_an_empty_yaml_is_refused(tmp_path, text):
    with pytest.raises(Refusal, match=r"a\.yaml is empty"):
        files.read_yaml(files.write_text(tmp_path / "a.yaml", text))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "does not exist"),
        (b"", "is not readable CSV "),
        (b"a,b\n1,\xff\n", "is not readable CSV "),
        (b"a,b\n1,2\n1,2,3,4\n", "is not readable CSV "),
        (b'a,b\n1,"2\n', "is not readable CSV "),
        (b"a,b\nx,2\n", "is not readable CSV "),
        (b"a,c\n1,2\n", "has no column b"),
    ],
)
def test_a_table_that_is_none_is_refused_in_a_sentence(tmp_path, data, said):
    path = tmp_path / "t.csv"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(Refusal, match=rf"t\.csv {said}") as refusal:
        files.read_table(path, ["a", "b"], dtype={"a": int})
    assert "\n" not in str(refusal.value)


def test_a_file_is_read_again_when_it_has_changed_and_not_before(tmp_path):
    read, path = [], files.write_text(tmp_path / "a", "1")
    reading = files.once_per_file(lambda each: read.append(each) or each.read_text())
    assert [reading(path), reading(path)] == ["1", "1"]
    files.write_text(path, "2")  # as long, and within the clock's tick perhaps: it is another file on the disk
    assert [reading(path), reading(path)] == ["2", "2"]
    assert len(read) == 2
    path.unlink()
    with pytest.raises(FileNotFoundError):
        reading(path)


def test_sha256_agrees_with_hashlib_across_blocks(tmp_path):
    data = os.urandom((1 << 20) + 17)
    path = files.write_bytes(tmp_path / "b", data)
    assert files.sha256(path) == hashlib.sha256(data).hexdigest()


def test_what_a_killed_write_left_is_swept_away_and_nothing_else(tmp_path):
    for name in (".m.json.abcd_1x9", "deep/.t.csv.00000000", ".hidden", "m.json", "a.b.abcdefgh"):
        files.write_text(tmp_path / name, name)
    removed = files.sweep(tmp_path)
    assert sorted(path.name for path in removed) == [".m.json.abcd_1x9", ".t.csv.00000000"]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [".hidden", "a.b.abcdefgh", "m.json"]


def test_a_file_being_written_is_not_swept_away(tmp_path, monkeypatch):
    swept = []
    replace = os.replace

    def sweep_first(old, new):
        swept.extend(files.sweep(tmp_path))
        replace(old, new)

    monkeypatch.setattr(os, "replace", sweep_first)
    assert files.write_text(tmp_path / "m.json", "new").read_text() == "new"
    assert swept == []


def test_a_write_whose_temporary_file_was_swept_begins_again(tmp_path, monkeypatch):
    chmod, stolen = os.chmod, []

    def steal_once(handle, mode):
        chmod(handle, mode)
        if not stolen:
            stolen.extend(tmp_path.iterdir())
            stolen[0].unlink()

    monkeypatch.setattr(os, "chmod", steal_once)
    assert files.write_text(tmp_path / "m.json", "new").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["m.json"]


@pytest.mark.parametrize("function", ["fdopen", "replace"])
def test_a_full_disk_names_the_file_that_was_to_be_written(tmp_path, monkeypatch, function):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, function, full)
    with pytest.raises(OSError, match="No space left") as error:
        files.write_text(tmp_path / "m.json", "new")
    assert error.value.filename == str(tmp_path / "m.json")
    assert list(tmp_path.iterdir()) == []
