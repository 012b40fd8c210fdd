"""The hub route against a stand-in on this machine: what arrives, what is refused, how a killed download goes on."""

import os
import subprocess
import sys
import time

import pytest

from replications import progress
from replications.catalogue import sources
from replications.errors import Refusal, Unavailable


@pytest.mark.parametrize("pinned", [True, False])
def test_hub_files_arrive_under_their_hash_and_are_fetched_once(serve, cache, tiny, pinned, capsys):
    hub = serve(tiny.FILES)
    entry = tiny.make_entry(tiny.hub_source(tiny.FILES, pinned=pinned))
    fetched = sources.fetch(entry)
    assert {name: path.read_bytes() for name, path in fetched.files.items()} == tiny.FILES
    assert fetched.sha256 == {name: tiny.sha(data) for name, data in tiny.FILES.items()}
    assert fetched.pin == f"hub someone/tiny@{tiny.COMMIT}"
    assert tiny.in_store(cache) == sorted(fetched.sha256.values())
    assert tiny.in_partial(cache) == []
    assert "licence: CC0 (made by a test)" in capsys.readouterr().err
    if pinned:
        hub.sent.clear()
        assert sources.fetch(entry) == fetched
        assert hub.sent == []
        assert capsys.readouterr().err == ""


def test_a_download_says_how_far_it_is_whatever_becomes_of_the_libraries_bars(serve, cache, tiny, monkeypatch):
    """`replicate run` turns those off, and half a gigabyte is minutes; what a partial file holds is done already."""
    shown, large = [], os.urandom(1 << 20) * 24
    contents = {"model.safetensors": large, "config.json": b"{}"}

    class Watched(progress.Step):
        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if name == "done" and value and "config" not in self.doing:
                shown.append((self.doing, self.total, value))

    monkeypatch.setattr(progress, "Step", Watched)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    serve(contents)
    partial = cache / "partial" / tiny.sha(large)
    partial.parent.mkdir(parents=True)
    partial.write_bytes(large[: 5 << 20])
    sources.fetch(tiny.make_entry(tiny.hub_source(contents)))
    assert {(doing, total) for doing, total, _ in shown} == {("downloading someone/tiny/model.safetensors", len(large))}
    assert [done for *_, done in shown] == [15 << 20, 24 << 20]


def test_an_unpinned_revision_is_taken_from_one_commit(serve, tiny):
    hub = serve(tiny.FILES)
    fetched = sources.fetch(tiny.make_entry(tiny.hub_source(tiny.FILES, revision=None)))
    assert set(fetched.files) == set(tiny.FILES)
    assert [name for name, _ in hub.sent] == list(tiny.FILES)


def test_another_commit_than_the_pinned_one_is_refused(serve, cache, tiny):
    serve(tiny.FILES)
    with pytest.raises(Refusal, match=f"expected commit {'f' * 40}, the hub answers with {tiny.COMMIT}"):
        sources.fetch(tiny.make_entry(tiny.hub_source(tiny.FILES, revision="f" * 40)))
    assert tiny.in_store(cache) == []


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("pinned", [True, False])
def test_bytes_that_do_not_match_are_refused_and_leave_nothing(serve, cache, tiny, name, pinned):
    wrong = bytes(reversed(tiny.FILES[name]))
    serve(tiny.FILES, says={name: wrong})
    with pytest.raises(Refusal, match=f"someone/tiny/{name} is not the file it should be: expected ") as refusal:
        sources.fetch(tiny.make_entry(tiny.hub_source(tiny.FILES, pinned=pinned)))
    assert not isinstance(refusal.value, Unavailable)
    assert tiny.in_partial(cache) == []
    assert tiny.sha(wrong) not in tiny.in_store(cache)


def test_a_hub_that_records_another_hash_is_refused_before_the_download(serve, cache, tiny):
    hub = serve(tiny.FILES | {"model.safetensors": b"x" * 5000})
    with pytest.raises(Refusal, match=f"expected SHA-256 {tiny.sha(tiny.FILES['model.safetensors'])}, the hub offers"):
        sources.fetch(tiny.make_entry(tiny.hub_source(tiny.FILES)))
    assert hub.sent == []
    assert tiny.in_store(cache) == []


def test_a_file_without_any_recorded_hash_is_refused(serve, cache, tiny):
    serve(tiny.FILES, records_hashes=False)
    with pytest.raises(Refusal, match="neither the catalogue nor the hub records a hash"):
        sources.fetch(tiny.make_entry(tiny.hub_source(tiny.FILES, pinned=False)))
    assert tiny.in_store(cache) == []


def test_a_file_that_ends_early_is_refused_with_both_sizes(serve, cache, tiny):
    serve(tiny.FILES, says={"model.safetensors": tiny.FILES["model.safetensors"][:7000]})
    with pytest.raises(Refusal, match=r"model.safetensors is truncated: expected 25600 bytes, got 7000"):
        sources.fetch(tiny.make_entry(tiny.hub_source(tiny.FILES)))
    assert tiny.in_store(cache) == []


def test_a_killed_download_goes_on_where_it_stopped(serve, cache, tiny):
    large = os.urandom(1 << 20) * 24  # the hub's client writes in blocks of 10 MiB
    contents = {"model.safetensors": large, "config.json": b"{}"}
    entry = tiny.make_entry(tiny.hub_source(contents))
    hub = serve(contents, stall_after=21 << 20)
    code = "import sys; from replications.catalogue import entries, sources; " + (
        "sources.fetch(entries.ModelEntry.model_validate_json(sys.argv[1]))"
    )
    child = subprocess.Popen([sys.executable, "-c", code, entry.model_dump_json()], stderr=subprocess.DEVNULL)
    partial = cache / "partial" / tiny.sha(large)
    deadline = time.monotonic() + 30
    while not (partial.is_file() and partial.stat().st_size >= 10 << 20):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child.kill()
    child.wait()
    assert tiny.in_store(cache) == []
    had = partial.stat().st_size
    hub.stall_after = None
    hub.sent.clear()
    assert sources.fetch(entry).files["model.safetensors"].read_bytes() == large
    assert ("model.safetensors", f"bytes={had}-") in hub.sent
    assert tiny.in_partial(cache) == []


def test_a_partial_file_that_is_too_long_is_begun_again(serve, cache, tiny):
    serve(tiny.FILES)
    partial = cache / "partial" / tiny.sha(tiny.FILES["model.safetensors"])
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"y" * 30_000)
    fetched = sources.fetch(tiny.make_entry(tiny.hub_source(tiny.FILES)))
    assert fetched.files["model.safetensors"].read_bytes() == tiny.FILES["model.safetensors"]


def test_a_model_from_the_hub_runs_in_the_bridge_as_it_does_in_transformers(serve, tiny, tiny_gpt2):
    torch = pytest.importorskip("torch")
    from replications.models import load

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
        sources.fetch(tiny.make_entry(tiny.hub_source(tiny.FILES)))
    text = str(refusal.value)
    assert text.startswith("tiny cannot be had here: the hub does not give someone/tiny/model.safetensors (")
    assert "REPLICATIONS_MIRROR" in text
    assert text.endswith("run `replicate fetch tiny`")
    assert "\n" not in text


def test_a_file_the_hub_lacks_makes_the_model_unavailable(serve, tiny):
    serve({"config.json": b"{}"})
    with pytest.raises(Unavailable, match=r"the hub does not give someone/tiny/model.safetensors \(404"):
        sources.fetch(tiny.make_entry(tiny.hub_source(tiny.FILES)))
