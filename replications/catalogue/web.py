"""Files at addresses, and members of archives at addresses; archives are opened as data and never built.

An address pins a version or a commit; the catalogue's SHA-256 pins the bytes, and where nobody knows it, git's hash or
what the address gave the first time.
"""

import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from replications import files
from replications.catalogue import archives, network, store
from replications.catalogue.entries import WebFile, WebSource
from replications.errors import Refusal, Unavailable

TIMEOUT = 30  # seconds of silence
LARGEST = 1 << 30  # bytes that are taken from an address that says nothing about its size; the largest here has 20 MB
_BLOCK = 1 << 16
_TROUBLE = (urllib.error.URLError, TimeoutError, ConnectionError, ssl.SSLError, http.client.HTTPException)


def download(source: WebSource, names: Iterable[str], cache: Path) -> dict[str, Path]:
    """Fetch the named files, check and store them. An archive that several files come from is fetched once.

    Raises Unavailable when an address does not answer, Refusal when what it gives is not the pinned file.
    """
    found: dict[str, Path] = {}
    with store.workspace(cache) as folder:
        brought: dict[str, Path] = {}
        for name in names:
            file = source.files[name]
            if file.url not in brought:
                brought[file.url] = _bring(file, folder / f"{len(brought)}")
            found[name] = _adopt(file, archives.taken(file.url, brought[file.url], file.member, folder / f"of-{name}"),
                                 name, cache)  # fmt: skip
    return found


def ask(source: WebSource) -> None:
    """Raise Unavailable, with one clause, unless the first address answers."""
    name, first = next(iter(source.files.items()))
    place = network.place_of(first.url)
    request = urllib.request.Request(first.url, method="HEAD")
    with network.asked_once(first.url, place):
        try:
            network.patiently(lambda: _opened(request, network.ASK_TIMEOUT).close(), _wait_of, asking=True)
        except _TROUBLE as error:
            gone = isinstance(error, urllib.error.HTTPError) and error.code not in network.BUSY
            raise Unavailable(f"{place} does not have {name}" if gone else network.no_answer(place)) from None


def _bring(file: WebFile, target: Path) -> Path:
    try:
        network.patiently(lambda: _fetch(file, target), _wait_of)
    except _TROUBLE as error:
        raise Unavailable(f"{file.url} does not answer ({_reason(error)})") from None
    if file.archive and (got := files.sha256(target)) != file.archive:
        raise Refusal(f"{file.url} is not the pinned archive: expected SHA-256 {file.archive}, got {got}")
    return target


def _fetch(file: WebFile, target: Path) -> None:
    """Write what the address gives. Refuses more bytes than are pinned or announced, as soon as they come."""
    with _opened(urllib.request.Request(file.url), TIMEOUT) as answer, open(target, "wb") as out:
        announced = answer.length  # None when the server does not say
        if file.bytes is not None and announced not in (None, file.bytes):
            raise Refusal(f"{file.url} is not the pinned file: expected {file.bytes} bytes, the server has {announced}")
        most = file.bytes or announced or LARGEST
        while block := answer.read(_BLOCK):
            if out.tell() + len(block) > most:
                raise Refusal(f"{file.url} is longer than it should be: expected {most} bytes at most, and more came")
            out.write(block)
        if announced is not None and out.tell() < announced:
            raise http.client.IncompleteRead(b"", announced - out.tell())


def _opened(request: urllib.request.Request, timeout: float) -> Any:
    return urllib.request.urlopen(request, timeout=timeout)


def _wait_of(error: Exception) -> float | None:
    """Seconds until another try is due; None for an answer that would stay the same, or a host that is not there."""
    if isinstance(error, urllib.error.HTTPError):
        return network.retry_after(error.headers.get("Retry-After")) if error.code in network.BUSY else None
    if isinstance(error, urllib.error.URLError):  # no connection came about
        return None
    return 0.0 if isinstance(error, _TROUBLE) else None


def _reason(error: Exception) -> str:
    """What went wrong, in the words of the library, on one line."""
    if isinstance(error, http.client.BadStatusLine) and not isinstance(error, ConnectionError):
        return "the server does not speak HTTP"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection ended early"
    return " ".join(
        str(error if isinstance(error, urllib.error.HTTPError) else getattr(error, "reason", error)).split()
    )


def _adopt(file: WebFile, path: Path, name: str, cache: Path) -> Path:
    """Store a file. One without a pinned SHA-256 has git's hash, or must be what the address gave the first time."""
    if file.sha256 is not None:
        return store.adopt(cache, path, file.sha256, name)
    if file.blob is not None:
        store.refuse_other_blob(path, file.blob, name)
    got, record = files.sha256(path), store.first_use(cache, file.url)
    if (first := store.first_hash(cache, file.url)) not in (None, got):
        raise Refusal(f"{file.url} gives other bytes than the first time (SHA-256 {got}, not {first}): delete {record} "
                      "to accept them")  # fmt: skip
    files.write_json(record, {"url": file.url, "sha256": got})
    return store.adopt(cache, path, got, name)
