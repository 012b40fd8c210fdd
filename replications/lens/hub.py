"""Files of one commit of a hub repository, each checked by a hash; an interrupted download goes on where it stopped.

huggingface_hub gives the addresses, the headers, the retries and the progress bar. Its own cache is not used: it starts
an interrupted file again, and it stores what arrives before anybody has looked at it.
"""

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from replications.errors import Refusal, Unavailable
from replications.lens import store
from replications.lens.catalogue import HubSource, weight_files

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata


def download(source: HubSource, names: Iterable[str], cache: Path) -> dict[str, Path]:
    """Fetch the named files of the pinned commit and store them.

    Raises Unavailable when the hub does not answer or stops, Refusal when a file is not the one that it should be.
    """
    found, revision = {}, source.revision
    for name in names:
        url, meta = _metadata(source.repo, name, revision or "main")
        revision = revision or meta.commit_hash  # an unpinned source is still taken from one commit
        if meta.commit_hash != revision:
            raise Refusal(f"{source.repo}/{name}: expected commit {revision}, the hub answers with {meta.commit_hash}")
        check = _Check(f"{source.repo}/{name}", source.files[name], meta.etag or "", meta.size)
        found[name] = store.adopt(cache, _bring(url, check, cache), check.sha256, check.name)
    return found


def ask(source: HubSource) -> None:
    """Raise Unavailable unless the hub knows the first weight file of the source."""
    _metadata(source.repo, weight_files(source)[0], source.revision or "main")


def _metadata(repo: str, name: str, revision: str) -> "tuple[str, HfFileMetadata]":
    """Address of a file and what the hub records about it. HF_ENDPOINT is read now and not at import."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HTTPError

    endpoint = os.environ.get("HF_ENDPOINT") or None
    url = hf_hub_url(repo, name, revision=revision, endpoint=endpoint)
    try:
        return url, get_hf_file_metadata(url, endpoint=endpoint)
    except (OSError, HTTPError) as error:
        raise Unavailable(f"the hub does not give {repo}/{name} ({_first_line(error)})") from None


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

    def refuse_other_blob(self, path: Path) -> None:
        """Where only git's hash is recorded, compare that. Refuses a file for which nobody records a hash."""
        if self.sha256:
            return
        if not re.fullmatch(r"[0-9a-f]{40}", self.etag):
            raise Refusal(f"{self.name}: neither the catalogue nor the hub records a hash to check it against")
        if (got := _git_blob(path)) != self.etag:
            path.unlink()
            raise Refusal(f"{self.name} is not the file it should be: expected git blob {self.etag}, got {got}")


def _bring(url: str, check: _Check, cache: Path) -> Path:
    """Bring the partial file of this etag to its full size. Refuses a hub that sends fewer bytes than it announced."""
    from huggingface_hub.errors import HTTPError
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    wanted = check.sha256 or check.etag
    partial = cache / "partial" / (re.sub(r"\W", "", wanted) or "unnamed")
    partial.parent.mkdir(parents=True, exist_ok=True)
    with open(partial, "ab") as out:
        if check.size is not None and out.tell() > check.size:
            out.truncate(0)  # more than there is: not a beginning of this file
        options = {"expected_size": check.size, "displayed_filename": check.name.rpartition("/")[2]}
        try:
            http_get(url, out, resume_size=out.seek(0, os.SEEK_END), headers=build_hf_headers(), **options)
        except (OSError, HTTPError) as error:
            raise _stopped(check, out.tell(), error) from None
    check.refuse_other_blob(partial)
    return partial


def _stopped(check: _Check, got: int, error: Exception) -> Refusal:
    """A stream that ended in good order but short is a wrong file; a broken one can go on later."""
    if str(error).startswith("Consistency check failed"):
        return Refusal(f"{check.name} is truncated: expected {check.size} bytes, got {got}")
    return Unavailable(f"{check.name} stopped after {got} of {check.size} bytes ({_first_line(error)}); run again")


def _git_blob(path: Path) -> str:
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    digest.update(path.read_bytes())
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")
