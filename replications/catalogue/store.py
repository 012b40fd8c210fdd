"""The cache on disk: files stored under their SHA-256, so that a name never holds the wrong or half the bytes.

files/<first two hex digits>/<sha256>     whole, checked files
partial/                                  downloads and folders under way; what no process works on is removed
models/<id>-<key>/                        folders ready for transformers (replications.models.weights)
first-use/                                hashes of files that nobody pins, as they were the first time
locks/                                    who works on what; a lock ends with its process

Whatever two processes could write is written under a name of its own and renamed, or under a lock.
"""

import errno
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from replications import files
from replications.catalogue import network
from replications.errors import Refusal

MIRROR, CACHE = "REPLICATIONS_MIRROR", "REPLICATIONS_CACHE"
KEPT = 7 * 24 * 3600  # seconds for which an interrupted download waits to be gone on with
# what the system says when the disk, not the network, is the matter
DISK = frozenset(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EEXIST", "ENOTDIR", "EISDIR", "EIO", "EFBIG")
    if hasattr(errno, name)
)


def cache_root() -> Path:
    """Cache folder: the environment variable REPLICATIONS_CACHE, else the platform's (~/.cache/replications)."""
    return Path(os.environ.get(CACHE) or platformdirs.user_cache_path("replications"))


@contextmanager
def writing(cache: Path) -> Iterator[None]:
    """Within the block, a disk that is full or closed to writing is refused in one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK:
            raise
        raise cannot_write(cache, error.strerror or str(error)) from None


def cannot_write(cache: Path, reason: str) -> Refusal:
    """The refusal of a cache that takes no file."""
    in_the_way = [os.strerror(code) for code in (errno.ENOTDIR, errno.EEXIST)]
    remedy = "there should be a folder where a file is" if reason in in_the_way else "make room there"
    return Refusal(f"the cache {cache} cannot be written ({reason}): {remedy}, or have {CACHE} name another folder")


def disk_reason(text: str) -> str:
    """What a program's messages say about the disk, empty when nothing: its own last line may hide it."""
    reasons = [os.strerror(code) for code in sorted(DISK - {errno.EEXIST, errno.EIO})]
    return next((reason for reason in reasons if reason in text), "")


@contextmanager
def locked(cache: Path, name: str, work: str = "the cache") -> Iterator[None]:
    """Within the block no other process holds the lock `name`; waits until it can be had, and says for what `work`."""
    lock = _lock(cache, name)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        network.announce(f"another process is at work on {work}: waiting until it is done")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def unless_locked(cache: Path, name: str) -> Iterator[bool]:
    """Whether the lock `name` could be had at once: no living process holds it within the block."""
    lock = _lock(cache, name)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _lock(cache: Path, name: str) -> FileLock:
    folder = cache / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{name}.lock", mode=0o666)  # a cache may be shared by several users


def stored(cache: Path, sha256: str) -> Path | None:
    """The stored file with this hash; one that has rotted on disk is deleted and counts as absent."""
    path = _place(cache, sha256)
    if not path.is_file():
        return None
    if files.sha256(path) == sha256:
        return path
    with locked(cache, "files"):
        if path.is_file() and files.sha256(path) != sha256:  # another process may have put a sound one there
            path.unlink()
            return None
    return path if path.is_file() else None


def holds(cache: Path, sha256: str) -> bool:
    """Whether there is a stored file of this name; its bytes are not read."""
    return _place(cache, sha256).is_file()


def adopt(cache: Path, path: Path, expected: str | None, name: str) -> Path:
    """Move a finished temporary file into the store. Refuses a file whose hash is not `expected`, and deletes it.

    What lies in the store is what was hashed: a file that changed meanwhile is refused as well.
    """
    before = _state(path)
    got = files.sha256(path)
    if expected is not None and got != expected:
        path.unlink()
        raise Refusal(
            f"{name} is not the file it should be: expected SHA-256 {expected}, got {got} ({before[0]} bytes)"
        )
    place = _place(cache, got)
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(cache, "files"):
        os.replace(path, place)
        if _state(place) != before:
            place.unlink()
            raise Refusal(f"{name} changed while it was checked: another program writes to {path}")
    return place


def put(cache: Path, place: Path, data: bytes) -> Path:
    """Write a file of the cache whole or not at all; what a killed process leaves of it is removed by the next."""
    with writing(cache), workspace(cache) as folder:
        (folder / "file").write_bytes(data)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(folder / "file", place)
    return place


@contextmanager
def workspace(cache: Path) -> Iterator[Path]:
    """A folder of one's own on the cache's file system, gone afterwards whatever happens.

    Its lock is held as long as this process lives and needs it: what a killed process left is removed here.
    """
    sweep(cache)
    name = f"work-{uuid.uuid4().hex}"
    folder, lock = cache / "partial" / name, _lock(cache, name)
    with locked(cache, "partial"):
        lock.acquire()
        folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with locked(cache, "partial"):
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)


def sweep(cache: Path) -> None:
    """Remove what killed processes left in partial/: folders at once, downloads that nobody went on with in a week.

    What a living process works on is locked and stays.
    """
    if not (cache / "partial").is_dir():
        return
    with locked(cache, "partial"):
        for left in (cache / "partial").iterdir():
            with unless_locked(cache, left.name) as free, suppress(FileNotFoundError):
                if free and left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                    (cache / "locks" / f"{left.name}.lock").unlink(missing_ok=True)
                elif free and time.time() - left.stat().st_mtime > KEPT:
                    left.unlink()


def first_use(cache: Path, url: str) -> Path:
    """Where it is recorded what an address gave the first time."""
    return cache / "first-use" / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"


def first_hash(cache: Path, url: str) -> str | None:
    """SHA-256 of what an address gave the first time; None when nothing was fetched from it yet."""
    path = first_use(cache, url)
    return files.read_json(path)["sha256"] if path.is_file() else None


def from_mirror(cache: Path, sha256: str, name: str) -> Path | None:
    """Copy of the file that the mirror folder lists under this hash, stored; None when there is no mirror or file."""
    found = mirror_index().get(sha256)
    if found is None or not found.is_file():
        return None
    try:
        held = open(found, "rb")  # noqa: SIM115  (closed two lines below; only opening it can be the mirror's fault)
    except OSError as error:
        raise Refusal(f"{found}, which the mirror lists, cannot be read ({error.strerror})") from None
    with held, workspace(cache) as folder:
        with open(folder / "copy", "wb") as out:
            shutil.copyfileobj(held, out)
        return adopt(cache, folder / "copy", sha256, f"{name} ({found} in the mirror)")


def mirror_index() -> dict[str, Path]:
    """SHA-256 -> path, read from the SHA256SUMS file of the folder that REPLICATIONS_MIRROR names; empty without.

    Refuses a list that is missing or that has a line which is not `hash  path`.
    """
    if not (folder := os.environ.get(MIRROR)):
        return {}
    sums, wanted = Path(folder) / "SHA256SUMS", "it should hold `hash  path` lines, as sha256sum writes them"
    try:
        lines = sums.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        reason = error.strerror or error
        raise Refusal(f"{MIRROR} names {folder}, which should hold a SHA256SUMS file ({reason})") from None
    except UnicodeDecodeError:
        raise Refusal(f"{sums} is not UTF-8 text: {wanted}") from None
    index = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        sha256, _, name = line.partition(" ")
        if not re.fullmatch(r"[0-9a-f]{64}", sha256) or not name.strip(" *"):
            raise Refusal(f"{sums}, line {number}: {line[:80]!r} is no line of a hash and a path: {wanted}")
        index[sha256] = Path(folder) / name.strip().removeprefix("*")
    return index


def _place(cache: Path, sha256: str) -> Path:
    return cache / "files" / sha256[:2] / sha256


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def refuse_other_blob(path: Path, blob: str, name: str) -> None:
    """Refuse, and delete, a file that does not have this hash of git's: SHA-1 of its length and its bytes."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if (got := digest.hexdigest()) != blob:
        path.unlink()
        raise Refusal(f"{name} is not the file it should be: expected git blob {blob}, got {got}")
