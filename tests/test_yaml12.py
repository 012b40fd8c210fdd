"""YAML has the values that DVC reads, and what is no such file is refused by its line."""

import contextlib
import json
import subprocess

import pytest
import ruamel.yaml
from dvc.utils.serialize import parse_yaml
from hypothesis import given
from hypothesis import strategies as st

from replications import files, yaml12
from replications.errors import Refusal
from replications.settings import ROOT
from replications.yaml12 import BadYamlError, parse

PREFIXES = ["", "+", "-", "0", "0o", "-0x", "0b", "."]
SUFFIXES = ["", ".", ".5", "e3", "e-3", "E+3", ":30", ":30.5"]
DIGITS = st.text("0123456789_", min_size=1, max_size=9)
NUMBERS = st.tuples(st.sampled_from(PREFIXES), DIGITS, st.sampled_from(SUFFIXES)).map("".join)
DATES = st.builds("{:04}-{:02}-{:02}{}".format, st.integers(0, 3000), st.integers(0, 13), st.integers(0, 32),
                  st.sampled_from(["", " 10:00:00", "T25:00:00Z"]))  # fmt: skip
WORDS = st.sampled_from([
    "y", "Y", "n", "N", "yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF", "true", "True",
    "TRUE", "false", "False", "FALSE", "null", "Null", "NULL", "~", ".inf", "-.INF", ".nan", ".NaN", "=", "<<", "''",
    "'3'", '"no"', "a", "1e999",
])  # fmt: skip
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("aé中,:# ")
)
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text("abno1-"), inner), max_leaves=9)
SCALARS = st.one_of(NUMBERS, DATES, WORDS, st.text("0123456789.eE+-_:xob", max_size=8))


def both(text):
    """What DVC and we make of a text; an exception counts as one of its own kind."""
    made = []
    for read in (lambda: parse_yaml(text, "a.yaml"), lambda: parse(text)):
        try:
            made.append(repr(read()))
        except Exception as error:
            made.append(type(error))
    return made


@given(SCALARS)
def test_a_scalar_is_what_dvc_takes_it_for(scalar):
    theirs, ours = both(f"a: {scalar}\nb: [{scalar}]\n")
    assert theirs == ours or (isinstance(theirs, type) and ours is BadYamlError)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("020221101", 20221101), ("0o17", 15), ("2e-3", 0.002), ("1:30", "1:30"), ("no", "no"), ("on", "on"),
        ("yes", "yes"), ("true", True), ("0x1F", 31), ("1_000", 1000), ("~", None), ("", None), (".5", 0.5),
    ],
)  # fmt: skip
def test_values_are_those_of_yaml_1_2(text, value):
    found = parse(f"a: {text}")["a"]
    assert (found, type(found)) == (value, type(value))


def test_every_file_of_the_project_reads_as_dvc_reads_it():
    command = ["git", "ls-files", "*.yaml", "dvc.lock"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert len(names) > 20
    for name in names:
        read = files.read_yaml(ROOT / name)
        assert repr(read) == repr(parse_yaml((ROOT / name).read_text(encoding="utf-8"), name)), name


def test_the_parser_is_the_one_in_c():
    assert ruamel.yaml.__with_libyaml__, "install ruamel.yaml.clib: without it every command takes seconds longer"


@given(TREES)
def test_json_is_yaml(tree):
    assert parse(json.dumps(tree)) == tree


BOMB = "a0: &a0 [x, x, x]\n" + "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(12))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i + 1}: &a{i + 1}\n  <<: [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(12))
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}]\n" for i in range(3000))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 2024-13-45", r"line 1: '2024-13-45' is no date \(month must be in 1\.\.12\)"),
        ("a: 1\nb: 2001-12-14 30:00:00", "line 2: '2001-12-14 30:00:00' is no date"),
        ("a: !!int x", "line 1: 'x' is no whole number"),
        ("a: 0x_", "line 1: '0x_' is no whole number"),
        ("a: " + "9" * 5000, "line 1: '9{40}' is no whole number"),
        ("a: !!float x", "line 1: 'x' is no number"),
        ("a: ._", r"line 1: '\._' is no number"),
        ("a: !!bool maybe", "line 1: 'maybe' is no truth value"),
        ("a:\n\t- b", "line 2: .*: it is a tab, where spaces should be"),
        ("a: !foo x", "line 1: tag '!foo' is not known"),
        ("a: !!python/object/apply:os.system [ls]", "line 1: tag 'python/object/apply:os.system' is not known"),
        ("a: !!set {b}", "line 1: tag 'set' is not known"),
        ("a: !!omap [{a: 1}, {a: 2}]", "line 1: tag 'omap' is not known"),
        ("a: !!binary x", "line 1: tag 'binary' is not known"),
        ("a: =", "line 1: tag 'value' is not known"),
        ("a: 1\nb: 2\na: 3", "line 3: key 'a' is given twice: keep one"),
        ("a: &a {k: 1}\nb:\n  <<: *a\n  c: 1\n  c: 2", "line 5: key 'c' is given twice"),
        ("a: {b: 1, \"b\": 2}", "line 1: key 'b' is given twice"),
        ("a: &a {}\nb: {<<: *a, <<: *a}", "line 2: key '<<' is given twice"),
        ("3: x", "line 1: a key should be text, not '3': put it in quotes"),
        ("a: {true: x}", "line 1: a key should be text, not 'true'"),
        ("~: x", "line 1: a key should be text, not '~'"),
        ("2024-01-01: x", "line 1: a key should be text, not '2024-01-01'"),
        ("? [a, b]\n: x", "line 1: a key should be text, not a sequence"),
        ("? {a: b}\n: x", "line 1: a key should be text, not a mapping"),
        ("a: [", "line [12]: "),
        ("a: b: c", "line 1: "),
        ("a: *b", "line 1: found undefined alias"),
        ("---\na\n---\nb", "line 3: expected a single document"),
        ("a: 1\nb: \x07", r"line 2: character U\+0007 is not allowed"),
        ("[" * 100_000, "line 1: lists and mappings nested more than 100 deep"),
        ("[" * 5000 + "]" * 5000, "line 1: lists and mappings nested more than 100 deep"),
        ("- " * 100_000 + "a", "line 1: lists and mappings nested more than 100 deep"),
        ("{a: " * 100_000, "line 1: lists and mappings nested more than 100 deep"),
        (BOMB, "with its aliases written out it has more than 1000000 values"),
        (CHAIN, "with its aliases written out it has more than .* or 100 levels|nested too deep"),
        (MERGES, "line .*: a mapping of more than 10000 keys"),
        ("a: &a [*a]", "an alias stands within what it stands for"),
    ],
    ids=lambda text: text[:24],
)  # fmt: skip
def test_what_is_no_such_file_is_refused_by_its_line(tmp_path, text, said):
    file = tmp_path / "a.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(Refusal, match=rf"a\.yaml is not readable YAML: ({said})") as refusal:
        files.read_yaml(file)
    assert "\n" not in str(refusal.value)


@pytest.mark.filterwarnings("ignore::ruamel.yaml.error.ReusedAnchorWarning")
@given(st.text("ab01 .-_:,?![]{}&*#|>'\"%@`\n\t\x00é\ud7ff~=<", max_size=40))
def test_whatever_is_written_is_read_or_refused(text):
    with contextlib.suppress(BadYamlError):
        parse(text)


def test_aliases_of_a_useful_size_are_taken():
    assert parse("a: &a {b: [1, 2]}\nc: *a\nd: {<<: *a, e: *a}") == {
        "a": {"b": [1, 2]}, "c": {"b": [1, 2]}, "d": {"b": [1, 2], "e": {"b": [1, 2]}},
    }  # fmt: skip
    assert yaml12.DEPTH > 20
