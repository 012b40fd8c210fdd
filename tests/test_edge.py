"""Whatever goes wrong becomes one sentence on stderr and an exit code; no traceback unless it is asked for."""

import errno
import http.client
import json
import os
import signal
import subprocess
import sys
import types
import zipfile
import zlib
from pathlib import Path

import pytest
from ruamel.yaml.error import YAMLError

from replications import cli, edge
from replications.errors import Refusal
from replications.settings import ROOT

KINDS = [
    (Refusal("a.yaml: row 3 should be a number"), 2, "a.yaml: row 3 should be a number"),
    (OSError(errno.ENOSPC, "No space left on device", "/c/x"), 1, "/c/x: No space left on device: make room there"),
    (OSError(errno.EROFS, "Read-only file system", "/c/x"), 1, "/c/x: Read-only file system: mount it for writing"),
    (PermissionError(errno.EACCES, "Permission denied", "/c/x"), 1, "/c/x: Permission denied: allow this user"),
    (
        NotADirectoryError(errno.ENOTDIR, "Not a directory", "/c/x"),
        1,
        "/c/x: Not a directory: there should be a folder",
    ),
    (
        FileExistsError(errno.EEXIST, "File exists", "/c"),
        1,
        "/c: File exists: there should be a folder where a file is",
    ),
    (IsADirectoryError(errno.EISDIR, "Is a directory", b"/c/x"), 1, "/c/x: Is a directory: there should be a file"),
    (OSError(errno.EFBIG, "File too large", "/c/x"), 1, "/c/x: File too large: allow larger files"),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), 1, "is not UTF-8 text"),
    (RecursionError("maximum recursion depth exceeded"), 1, "is nested too deeply"),
    (MemoryError(), 1, "there is not enough memory"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), 1, "there is not enough memory"),
    (zipfile.BadZipFile("File is not a zip file"), 1, "is damaged (File is not a zip file): delete it"),
    (zlib.error("Error -3"), 1, "is damaged (Error -3)"),
    (EOFError("Compressed file ended"), 1, "is damaged (Compressed file ended)"),
    (http.client.BadStatusLine("SSH-2.0"), 1, "the server's answer is not HTTP (SSH-2.0)"),
    (YAMLError("found a tab\nat line 3"), 1, "cannot be parsed (found a tab)"),
    (json.JSONDecodeError("Expecting value", "x", 0), 1, "cannot be parsed (Expecting value"),
    (ValueError("closing tag '[/]' doesn't match any open tag"), 1, "unexpected ValueError: closing tag"),
    (KeyboardInterrupt(), 130, "stopped: `replicate claims --room ioi` begins again"),
    (edge.Stopped("stopped; 3 finished parts are kept"), 130, "stopped; 3 finished parts are kept"),
]


def raising(error):
    def program(words):
        raise error

    return program


@pytest.fixture
def asked(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["replicate", "claims", "--room", "ioi"])


@pytest.mark.parametrize(("error", "code", "said"), KINDS, ids=lambda one: type(one).__name__)
def test_every_kind_of_fault_is_one_sentence(asked, capsys, monkeypatch, error, code, said):
    monkeypatch.setattr(edge, "_leave_threads", lambda: None)
    assert edge.guarded(raising(error)) == code
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert "Traceback" not in told


def test_an_unexpected_fault_says_how_to_see_the_traceback(asked, capsys, monkeypatch):
    edge.guarded(raising(KeyError("x")))
    assert "run `replicate --debug claims --room ioi` for the traceback" in capsys.readouterr().err
    for words in (["--debug", "claims"], ["claims", "--debug"]):
        monkeypatch.setattr(sys, "argv", ["replicate", *words])
        assert edge.guarded(raising(KeyError("x"))) == 1
        assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_fault_without_a_name_is_told_with_the_file_that_was_being_read(tmp_path, asked, capsys):
    file = tmp_path / "table.yaml"
    scope = {"__name__": "replications.made_up", "FILE": file}
    exec("def read(file):\n    int('x')\ndef program(words):\n    read(FILE)", scope)
    assert edge.guarded(scope["program"]) == 1
    assert f"unexpected ValueError at {file}: invalid literal" in capsys.readouterr().err


def test_debug_and_success_pass_through(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "argv", ["replicate", "models", "--debug"])
    assert edge.guarded(seen.append) == 0
    assert seen == [["models"]]


def replicate(*words, stdout=subprocess.PIPE, **environment):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), **environment}
    return subprocess.run([sys.executable, "-m", "replications.cli", *words], stdout=stdout, stderr=subprocess.PIPE,
                          text=True, check=False, env=environment)  # fmt: skip


def test_terminals_that_know_ascii_only_get_all_of_it():
    done = replicate("claims", LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()


def test_a_full_disk_under_the_output_is_one_sentence():
    with open("/dev/full", "w") as full:
        done = replicate("models", stdout=full)
    assert done.returncode == 1
    assert done.stderr.startswith("standard output: No space left on device")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough_hears_nothing():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        done = replicate("models", stdout=closed)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_connection_that_breaks_is_told(asked, capsys):
    assert edge.guarded(raising(BrokenPipeError(errno.EPIPE, "Broken pipe"))) == 1
    assert capsys.readouterr().err == "a file or a connection: Broken pipe\n"


def test_a_cache_that_is_a_file_is_one_sentence(tmp_path):
    cache = tmp_path / "cache"
    cache.touch()
    done = replicate("fetch", "gutenberg", REPLICATIONS_CACHE=str(cache), REPLICATIONS_MIRROR="")
    assert done.returncode in (1, 2)
    assert str(cache) in done.stderr
    assert "Traceback" not in done.stderr
    assert "there should be a folder where a file is" in done.stderr.splitlines()[-1]


def test_ctrl_c_is_not_swallowed_by_the_command_line(monkeypatch, capsys):
    def stopped(*_, **__):
        raise edge.Stopped("stopped; 3 finished parts are kept")

    trial = types.SimpleNamespace(folder=lambda *_: Path("x"), TrialRun=lambda *_: None, measure=stopped)
    monkeypatch.setitem(sys.modules, "replications.trial", trial)
    monkeypatch.setattr("replications.trial", trial, raising=False)
    monkeypatch.setattr(edge, "_leave_threads", lambda: None)
    monkeypatch.setattr(sys, "argv", ["replicate", "run", "audit"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 130
    assert capsys.readouterr().err == "stopped; 3 finished parts are kept\n"


def test_how_a_command_is_used_is_said_with_exit_code_two(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["replicate", "run"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert "Missing argument 'room'" in capsys.readouterr().err


INTERRUPTED = """
import signal, sys, time, threading, types
from replications import cli
signal.signal(signal.SIGINT, signal.default_int_handler)  # who started the tests may ignore it, as nohup does
stage = types.ModuleType("replications.audit.stage")

def run(**given):
    given["out"].joinpath("half.csv").touch()
    threading.Thread(target=time.sleep, args=(600,)).start()
    print("measuring", flush=True)
    time.sleep(600)

stage.run = run
sys.modules[stage.__name__] = stage
sys.argv = ["replicate", "run", "audit", "--out", sys.argv[1]]
cli.main()
"""


def test_ctrl_c_ends_at_once_with_one_sentence_and_no_litter(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as run:
        assert run.stdout.readline() == "measuring\n"
        run.send_signal(signal.SIGINT)
        said = run.communicate(timeout=120)[1]
    assert run.returncode == 130
    go = f"`replicate run audit --out {tmp_path}`"
    assert said == f"stopped before a part was finished that could be kept; {go} begins again\n"
    assert list(tmp_path.iterdir()) == []
