"""Files of one commit of a hub repository, each checked by a hash; an interrupted download goes on where it stopped.

huggingface_hub gives the addresses and the headers. Its own cache is not used: it starts an interrupted file again, and
it stores what arrives before anybody has looked at it.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from replications import progress
from replications.catalogue import network, store
from replications.catalogue.entries import HubSource, weight_files
from replications.errors import Refusal, Unavailable

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

PLACE = "the model hub"
TIMEOUT = 10.0  # seconds of silence about a file's metadata
UNSTATED = 1 << 28  # bytes that are taken of a file whose size the hub does not state, as a proxy may do to small ones
NOT_THERE = ("ConnectError", "ConnectTimeout", "ProxyError", "UnsupportedProtocol", "InvalidURL")  # httpx' names
REFUSED = {401: "asks for a login for", 403: "does not give everybody", 404: "does not have"}


def download(source: HubSource, names: Iterable[str], cache: Path) -> dict[str, Path]:
    """Fetch the named files of the pinned commit and store them. Two processes that want one file fetch it once.

    Raises Unavailable when the hub does not answer or stops, Refusal when a file is not the one that it should be.
    """
    found, revision = {}, source.revision
    for name in names:
        url, meta = _metadata(source.repo, name, revision or "main")
        revision = revision or meta.commit_hash  # an unpinned source is still taken from one commit
        if meta.commit_hash != revision:
            raise Refusal(f"{source.repo}/{name}: expected commit {revision}, the hub answers with {meta.commit_hash}")
        check = _Check(f"{source.repo}/{name}", source.files[name], meta.etag or "", meta.size)
        with store.locked(cache, check.partial, check.name):
            found[name] = _held(cache, check) or store.adopt(cache, _bring(url, check, cache), check.sha256, check.name)
    return found


def ask(source: HubSource) -> None:
    """Raise Unavailable, with one clause, unless the hub knows the first weight file of the source."""
    from huggingface_hub import constants

    url = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    with network.asked_once(url, PLACE):
        try:
            _metadata(source.repo, weight_files(source)[0], source.revision or "main", asking=True)
        except Unavailable as error:
            status = getattr(getattr(error.__cause__, "response", None), "status_code", None)
            says = None if status is None else REFUSED.get(status)
            raise Unavailable(f"{PLACE} {says} {source.repo}" if says else network.no_answer(PLACE)) from None


def _metadata(repo: str, name: str, revision: str, asking: bool = False) -> "tuple[str, HfFileMetadata]":
    """Address of a file and what the hub records about it. HF_ENDPOINT is read now and not at import."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HTTPError

    endpoint = os.environ.get("HF_ENDPOINT") or None
    url = hf_hub_url(repo, name, revision=revision, endpoint=endpoint)
    timeout = network.ASK_TIMEOUT if asking else TIMEOUT
    try:
        return url, network.patiently(
            lambda: get_hf_file_metadata(url, endpoint=endpoint, timeout=timeout), _wait_of, asking=asking
        )
    except (OSError, HTTPError, ValueError) as error:  # ValueError: an endpoint that is no address
        raise Unavailable(f"the hub does not give {repo}/{name} ({_first_line(error)})") from error


def _wait_of(error: Exception) -> float | None:
    """Seconds until another try is due; None for an answer that would stay the same, or for a hub that is not there."""
    from huggingface_hub.errors import HTTPError

    response = getattr(error, "response", None)
    if response is not None:
        busy = response.status_code in network.BUSY
        return network.retry_after(response.headers.get("Retry-After")) if busy else None
    passing = isinstance(error, HTTPError) and type(error).__name__ not in NOT_THERE
    return 0.0 if passing else None


@dataclass(frozen=True)
class _Check:
    """What a downloaded file is held against: the catalogue's hash, else the one that the hub records as its etag.

    For large files the hub's etag is the SHA-256, for small ones git's blob hash.
    """

    name: str
    pinned: str | None
    etag: str
    size: int | None

    @property
    def sha256(self) -> str | None:
        """SHA-256 that the file must have, if known before reading it. Refuses a hub that offers another file."""
        recorded = self.etag if re.fullmatch(r"[0-9a-f]{64}", self.etag) else None
        if self.pinned and recorded and self.pinned != recorded:
            raise Refusal(f"{self.name}: expected SHA-256 {self.pinned}, the hub offers {recorded}")
        return self.pinned or recorded

    @property
    def most(self) -> int:
        """Bytes after which a transfer ends."""
        return UNSTATED if self.size is None else self.size

    @property
    def partial(self) -> str:
        """Name of the file in partial/ and of the lock under which it is written."""
        return re.sub(r"\W", "", self.sha256 or self.etag) or "unnamed"

    def refuse_other_blob(self, path: Path) -> None:
        """Where only git's hash is recorded, compare that. Refuses a file for which nobody records a hash."""
        if self.sha256:
            return
        if not re.fullmatch(r"[0-9a-f]{40}", self.etag):
            raise Refusal(f"{self.name}: neither the catalogue nor the hub records a hash to check it against")
        store.refuse_other_blob(path, self.etag, self.name)


class _TooMuch(Exception):  # noqa: N818  (the reason is told by who catches it)
    """More bytes arrive than were announced."""


class _Bounded:
    """A file that takes no more than `size` bytes: a transfer ends where it should, whatever the server sends.

    How far the file is counts as done in `step`, so that what was there before, and what is sent anew, counts once.
    """

    def __init__(self, file: BinaryIO, size: int, step: progress.Step) -> None:
        self.file, self.size, self.step = file, size, step

    def write(self, data: bytes) -> int:
        if self.file.tell() + len(data) > self.size:
            raise _TooMuch
        written = self.file.write(data)
        self.step.done = self.file.tell()
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def _held(cache: Path, check: _Check) -> Path | None:
    """The file, when another process has brought it while this one waited."""
    return store.stored(cache, check.sha256) if check.sha256 else None


def _bring(url: str, check: _Check, cache: Path) -> Path:
    """Bring the partial file of this etag to its full size. Refuses a hub that sends fewer or more bytes than it said.

    A transfer ends at the announced size, whatever comes after it.
    """
    from huggingface_hub.errors import HTTPError

    partial = cache / "partial" / check.partial
    partial.parent.mkdir(parents=True, exist_ok=True)
    with open(partial, "ab") as out, progress.step(f"downloading {check.name}", check.size) as step:
        if out.tell() > check.most:
            out.truncate(0)  # more than there is: not a beginning of this file
        try:
            network.patiently(lambda: _go_on(url, check, out, step), _wait_of)
        except _TooMuch:
            partial.unlink()
            said = f"expected {check.most} bytes, and more came"
            raise Refusal(f"{check.name} is longer than the hub announced: {said}") from None
        except (OSError, HTTPError) as error:
            if getattr(error, "errno", None) in store.DISK:
                raise
            raise _stopped(check, out.tell(), error) from None
    check.refuse_other_blob(partial)
    return partial


def _go_on(url: str, check: _Check, out: BinaryIO, step: progress.Step) -> None:
    """Fetch what the partial file lacks."""
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers, disable_progress_bars

    disable_progress_bars("huggingface_hub.http_get")  # a run shows its own, in place of every library's
    start = out.seek(0, os.SEEK_END)
    bounded: Any = _Bounded(out, check.most, step)  # has what http_get uses of a file
    http_get(url, bounded, resume_size=start, headers=build_hf_headers(), expected_size=check.size)


def _stopped(check: _Check, got: int, error: Exception) -> Refusal:
    """A stream that ended in good order but short is a wrong file; a broken one can go on later."""
    if str(error).startswith("Consistency check failed"):
        return Refusal(f"{check.name} is truncated: expected {check.size} bytes, got {got}")
    return Unavailable(f"{check.name} stopped after {got} of {check.size} bytes ({_first_line(error)}); run again")


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")
