"""What a network does to a fetch: servers that are busy, slow, gone, or that speak of one size and send another."""

import socket
import threading
import time
from contextlib import suppress

import pytest

from replications.catalogue import datasets, hub, network, packages, sources, web
from replications.catalogue.entries import DatasetEntry
from replications.errors import Refusal, Unavailable

TEXT = b"Call me Ishmael.\n" * 10


@pytest.fixture
def waits(monkeypatch):
    """Seconds that were waited for between tries, without waiting."""
    asked = []
    monkeypatch.setattr(network, "_wait", asked.append)
    return asked


def book(url: str, sha256, **fields) -> DatasetEntry:
    files = {"whale.txt": {"url": url, "sha256": sha256} | fields}
    shown = {"id": "whale", "name": "A book", "used_for": "tests", "licence": {"name": "CC0"}}
    return DatasetEntry.model_validate(shown | {"sources": [{"kind": "web", "files": files, "note": "a test"}]})


@pytest.fixture
def speaks(cache):
    """Start a server that answers every connection with the next of these bytes; the last one stays."""
    stop = []

    def start(*answers: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(0.05)
        left = list(answers)

        def serve():
            while not stop:
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.recv(65536)
                    with suppress(ConnectionError):
                        connection.sendall(left.pop(0) if len(left) > 1 else left[0])
            listener.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        threads.append(thread)
        return f"http://127.0.0.1:{listener.getsockname()[1]}/whale.txt"

    threads = []
    yield start
    stop.append(True)
    for thread in threads:
        thread.join()


def ok(body: bytes, length: int | None = None) -> bytes:
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (length or len(body)) + body


def busy(code: bytes, header: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s Busy\r\nConnection: close\r\n%sContent-Length: 0\r\n\r\n" % (code, header)


# The hub


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("trouble", [[429], [503], ["garbage"], [503, 429, 502]])
def test_a_hub_that_is_busy_is_asked_again(serve, tiny, waits, name, trouble):
    serve(tiny.FILES, trouble={name: list(trouble)}, retry_after="7", moved=True)
    fetched = sources.fetch(tiny.make_entry(tiny.hub_source(tiny.FILES)))
    assert {name: path.read_bytes() for name, path in fetched.files.items()} == tiny.FILES
    assert len(waits) == len(trouble)
    assert waits[0] == (network.BACKOFF if trouble == ["garbage"] else 7)


def test_a_hub_that_stalls_once_is_asked_again(serve, tiny, monkeypatch):
    monkeypatch.setattr(hub, "TIMEOUT", 0.3)
    serve(tiny.FILES, trouble={"model.safetensors": ["stall"]})
    assert set(sources.fetch(tiny.make_entry(tiny.hub_source(tiny.FILES))).files) == set(tiny.FILES)


def test_a_busy_server_of_large_files_is_asked_again(serve, tiny, waits):
    serve(tiny.FILES, trouble_at_cdn={"model.safetensors": [503, 500]}, retry_after="3")
    assert set(sources.fetch(tiny.make_entry(tiny.hub_source(tiny.FILES))).files) == set(tiny.FILES)
    assert waits == [3, 3]


def test_a_hub_that_stays_busy_or_asks_for_too_much_patience_is_given_up_with_its_word(serve, tiny, waits):
    entry = tiny.make_entry(tiny.hub_source(tiny.FILES))
    serve(tiny.FILES, trouble={"model.safetensors": [503] * 9})
    with pytest.raises(Unavailable, match=r"the hub does not give someone/tiny/model.safetensors .*503"):
        sources.fetch(entry)
    assert len(waits) == network.TRIES - 1
    serve(tiny.FILES, trouble={"model.safetensors": [429]}, retry_after="3600")
    with pytest.raises(Unavailable, match="429"):
        sources.fetch(entry)
    assert len(waits) == network.TRIES - 1


def test_a_hub_that_sends_more_than_it_announced_is_not_read_to_the_end(serve, cache, tiny):
    flood = tiny.FILES["model.safetensors"] + bytes(200 << 20)
    started = serve(tiny.FILES, says={"model.safetensors": flood})
    with pytest.raises(Refusal, match=r"longer than the hub announced: expected 25600 bytes, and more came"):
        sources.fetch(tiny.make_entry(tiny.hub_source(tiny.FILES)))
    assert [name for name, _ in started.sent] == ["model.safetensors"]
    assert tiny.in_partial(cache) == tiny.in_store(cache) == []


def test_a_file_whose_size_is_not_stated_is_taken_but_not_forever(serve, tiny, monkeypatch):
    contents = {"model.safetensors": bytes(900), "config.json": bytes(800)}
    serve(contents, states_sizes=False)
    assert set(sources.fetch(tiny.make_entry(tiny.hub_source(contents))).files) == set(contents)
    monkeypatch.setattr(hub, "UNSTATED", 500)
    contents = {"model.safetensors": bytes(901), "config.json": bytes(800)}
    serve(contents, states_sizes=False)
    with pytest.raises(Refusal, match="expected 500 bytes, and more came"):
        sources.fetch(tiny.make_entry(tiny.hub_source(contents)))


def test_an_endpoint_that_is_no_address_is_unavailable(cache, tiny, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "nonsense")
    with pytest.raises(Unavailable, match="the hub does not give"):
        sources.fetch(tiny.make_entry(tiny.hub_source(tiny.FILES)))


# The web


FAILURES = [busy(b"429", b"Retry-After: 5\r\n"), busy(b"503"), b"SSH-2.0\r\n", ok(TEXT[:40], 170)]


@pytest.mark.parametrize("first", FAILURES)
def test_an_address_that_fails_once_is_asked_again(speaks, tiny, waits, first):
    entry = book(speaks(first, ok(TEXT)), tiny.sha(TEXT))
    assert datasets.fetch(entry)["whale.txt"].read_bytes() == TEXT
    assert waits == [5 if b"Retry" in first else network.BACKOFF]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "does not answer .the server does not speak HTTP"),
        (b"", "does not answer .Remote end closed"),
        (ok(TEXT[:40], 170), "does not answer .the connection ended early"),
        (busy(b"404"), "does not answer .HTTP Error 404"),
    ],
)
def test_what_stays_wrong_is_unavailable_in_one_sentence(speaks, cache, tiny, waits, answer, said):
    with pytest.raises(Unavailable, match=said) as refusal:
        datasets.fetch(book(speaks(answer), tiny.sha(TEXT)))
    assert "\n" not in str(refusal.value)
    assert tiny.in_partial(cache) == []


def test_a_transfer_ends_at_the_pinned_size(speaks, tiny):
    flood = TEXT + bytes(50 << 20)
    with pytest.raises(Refusal, match=r"expected 170 bytes, the server has 52428970"):
        datasets.fetch(book(speaks(ok(flood)), tiny.sha(TEXT), bytes=len(TEXT)))
    endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + flood
    with pytest.raises(Refusal, match=r"longer than it should be: expected 170 bytes at most"):
        datasets.fetch(book(speaks(endless), tiny.sha(TEXT), bytes=len(TEXT)))


def test_an_address_without_any_size_is_not_read_forever(speaks, tiny, monkeypatch):
    monkeypatch.setattr(web, "LARGEST", 1000)
    endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + bytes(1 << 20)
    with pytest.raises(Refusal, match="expected 1000 bytes at most, and more came"):
        datasets.fetch(book(speaks(endless), tiny.sha(TEXT)))


def test_what_nobody_pins_must_stay_what_it_was_the_first_time(speaks, cache, tiny):
    entry = book(speaks(ok(TEXT), ok(b"another book")), None)
    path = datasets.fetch(entry)["whale.txt"]
    assert sources.available(entry) == (True, "")
    assert datasets.fetch(entry)["whale.txt"] == path  # recorded, so it is not fetched again
    path.unlink()
    with pytest.raises(Refusal, match=r"gives other bytes than the first time .*delete .*first-use.* to accept them"):
        datasets.fetch(entry)
    next((cache / "first-use").iterdir()).unlink()
    assert datasets.fetch(entry)["whale.txt"].read_bytes() == b"another book"


def test_gits_hash_stands_in_for_one_that_nobody_knows(speaks, tiny):
    blob = "85b8a96abd63ed3d1b0b1f07da6efa06e9efd0d4"  # of other bytes
    with pytest.raises(Refusal, match=f"expected git blob {blob}, got"):
        datasets.fetch(book(speaks(ok(TEXT)), None, blob=blob))
    import hashlib

    right = hashlib.sha1(b"blob %d\0" % len(TEXT) + TEXT).hexdigest()
    assert datasets.fetch(book(speaks(ok(TEXT)), None, blob=right))["whale.txt"].read_bytes() == TEXT


# Asking


def test_a_host_that_does_not_answer_is_asked_once(cache, tiny, monkeypatch):
    monkeypatch.setattr(network, "ASK_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as dead:  # takes connections, never says a word
        address = f"http://127.0.0.1:{dead.getsockname()[1]}"
        first, second = (book(f"{address}/{name}", tiny.sha(TEXT)) for name in ("a", "b"))
        assert sources.available(first) == (False, "127.0.0.1 does not answer")
        monkeypatch.setattr(network, "ASK_TIMEOUT", 60)
        began = time.monotonic()
        assert sources.available(second) == (False, "127.0.0.1 does not answer")
        monkeypatch.setenv("HF_ENDPOINT", address)
        model = tiny.make_entry(tiny.hub_source(tiny.FILES))
        assert sources.available(model) == (False, "the model hub does not answer")
        assert time.monotonic() - began < 5


def test_reasons_are_short_and_name_the_place(serve, packaged, tiny, monkeypatch, tmp_path):
    source, _ = packaged
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    serve({"config.json": b"{}"})
    both = tiny.make_entry(source, tiny.hub_source(tiny.FILES))
    assert sources.available(both) == (
        False,
        "the package index has no tiny-part1==1.0 and the model hub does not have someone/tiny",
    )


def test_an_index_that_does_not_answer_is_told_from_one_without_the_package(packaged, tiny, monkeypatch, tmp_path):
    source, _ = packaged
    entry = tiny.make_entry(source)
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    asked = []
    real = packages._pip
    monkeypatch.setattr(packages, "_pip", lambda *line, **options: asked.append(line) or real(*line, **options))
    for _ in range(2):
        assert sources.available(entry) == (False, "the package index does not answer")
    assert len(asked) == 1
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    packages._has_folders.cache_clear()
    assert sources.available(entry) == (True, "")  # a folder of this machine needs no index


def test_a_retry_after_may_be_a_date():
    from email.utils import formatdate

    assert 50 < network.retry_after(formatdate(time.time() + 60, usegmt=True)) <= 60
    assert network.retry_after("soon") == network.retry_after(None) == network.retry_after("-1") == 0
