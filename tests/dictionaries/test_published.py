"""Published dictionaries from a stand-in hub, in SAELens' layout."""

import hashlib
import json
from contextlib import ExitStack

import pytest
import standin_hub
import torch
from dictionaries.test_sae import make

from replications.catalogue.entries import load_catalogue
from replications.dictionaries import published, saelens
from replications.dictionaries.published import Published
from replications.dictionaries.stream import Site
from replications.errors import Refusal, Unavailable

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Start a hub with these files; the cache is this test's own."""
    monkeypatch.setenv("REPLICATIONS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("REPLICATIONS_MIRROR", raising=False)
    with ExitStack() as stack:

        def start(files, **fields):
            hub = stack.enter_context(standin_hub.running(standin_hub.Hub(files, COMMIT, **fields)))
            monkeypatch.setenv("HF_ENDPOINT", hub.url)
            return hub

        yield start


@pytest.fixture
def written(tmp_path):
    """A dictionary and its files."""
    one = make("topk", d=16, h=64)
    folder = saelens.write(one, tmp_path / "sae")
    return one, {name: (folder / name).read_bytes() for name in (saelens.CONFIG, saelens.WEIGHTS)}


def entry(files, **fields):
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    place = {"repo": "someone/saes", "revision": COMMIT, "folder": "blocks.8.hook_resid_pre", "files": hashes}
    about = {"model": "gpt2", "site": "resid_pre.8", "licence": {"name": "CC0"}, "paper": "a test"}
    return Published(id="x", **place, **about, **fields)


def test_a_dictionary_of_the_hub_is_the_one_that_was_written(serve, written):
    one, files = written
    hub = serve(files)
    found = published.fetch(entry(files))
    x = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.encode(x), one.encode(x))
    assert torch.equal(found(x), one(x))
    assert saelens.WEIGHTS in [name for name, _ in hub.sent]
    hub.sent.clear()
    published.fetch(entry(files))
    assert hub.sent == []


def test_other_bytes_are_refused(serve, written):
    _, files = written
    serve(files, says={saelens.WEIGHTS: bytes(reversed(files[saelens.WEIGHTS]))})
    with pytest.raises(Refusal, match="is not the file it should be"):
        published.fetch(entry(files))


def test_no_hub_is_said(serve, written):
    with pytest.raises(Unavailable, match=r"the hub does not give someone/saes/blocks.8.hook_resid_pre/cfg.json"):
        published.fetch(entry(written[1]))


def test_the_file_reads_and_every_model_is_in_the_catalogue():
    listed = published.load_published()
    assert {one.model for one in listed.values()} <= set(load_catalogue())


def test_an_entry_is_found_by_its_model(tmp_path, monkeypatch):
    files = {saelens.CONFIG: "0" * 64, saelens.WEIGHTS: "1" * 64}
    fields = {"model": "gpt2", "site": "resid_pre.8", "repo": "a/b", "revision": COMMIT, "folder": "f", "files": files,
              "licence": {"name": "CC0"}, "paper": "a test"}  # fmt: skip
    file = tmp_path / "p.yaml"
    file.write_text(json.dumps({"x": fields}))
    listed = published.load_published(file)
    monkeypatch.setattr(published, "load_published", lambda: listed)
    assert [one.id for one in published.of_model("gpt2")] == ["x"]
    assert published.of_model("smollm2-135m") == []
    assert published.site_of(listed["x"]) == Site("resid_pre", 8)


def test_a_centred_dictionary_sees_activations_without_their_mean():
    x = torch.randn(4, 16, generator=torch.Generator().manual_seed(0)) + 3
    files = {saelens.CONFIG: b"", saelens.WEIGHTS: b""}
    own = published.own_mean(x, entry(files, centred=True))
    assert torch.allclose((x - own).mean(dim=-1), torch.zeros(4), atol=1e-6)
    assert (published.own_mean(x, entry(files)) == 0).all()


@pytest.mark.parametrize(("field", "value"), [
    ("site", "resid_post.8"), ("revision", None), ("files", {"cfg.json": "0" * 64}),
    ("files", {"cfg.json": None, "sae_weights.safetensors": None}),
])  # fmt: skip
def test_a_malformed_or_unpinned_entry_is_refused(tmp_path, field, value):
    fields = entry({saelens.CONFIG: b"", saelens.WEIGHTS: b""}).model_dump(exclude={"id"}) | {field: value}
    file = tmp_path / "p.yaml"
    file.write_text(json.dumps({"x": fields}))
    with pytest.raises(Refusal, match=rf"p.yaml: .*{field}"):
        published.load_published(file)
