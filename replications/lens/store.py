"""The cache on disk: files stored under their SHA-256, so that a name never holds the wrong or half the bytes.

files/<first two hex digits>/<sha256>     whole, checked files
partial/                                  downloads under way; safe to delete
models/<id>-<key>/                        folders ready for transformers (replications.lens.weights)
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from replications import files
from replications.errors import Refusal

MIRROR = "REPLICATIONS_MIRROR"


def cache_root() -> Path:
    """Cache folder: the environment variable REPLICATIONS_CACHE, else the platform's (~/.cache/replications)."""
    return Path(os.environ.get("REPLICATIONS_CACHE") or platformdirs.user_cache_path("replications"))


def stored(cache: Path, sha256: str) -> Path | None:
    """The stored file with this hash; one that has rotted on disk is deleted and counts as absent."""
    path = _place(cache, sha256)
    if not path.is_file():
        return None
    if files.sha256(path) == sha256:
        return path
    path.unlink()
    return None


def holds(cache: Path, sha256: str) -> bool:
    """Whether there is a stored file of this name; its bytes are not read."""
    return _place(cache, sha256).is_file()


def adopt(cache: Path, path: Path, expected: str | None, name: str) -> Path:
    """Move a finished temporary file into the store. Refuses a file whose hash is not `expected`, and deletes it."""
    got = files.sha256(path)
    if expected is not None and got != expected:
        size = path.stat().st_size
        path.unlink()
        raise Refusal(f"{name} is not the file it should be: expected SHA-256 {expected}, got {got} ({size} bytes)")
    place = _place(cache, got)
    place.parent.mkdir(parents=True, exist_ok=True)
    os.replace(path, place)
    return place


@contextmanager
def workspace(cache: Path) -> Iterator[Path]:
    """A temporary folder on the cache's own file system, gone afterwards whatever happens."""
    (cache / "partial").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache / "partial") as folder:
        yield Path(folder)


def from_mirror(cache: Path, sha256: str, name: str) -> Path | None:
    """Copy of the file that the mirror folder lists under this hash, stored; None when there is no mirror or file."""
    found = mirror_index().get(sha256)
    if found is None or not found.is_file():
        return None
    with workspace(cache) as folder:
        return adopt(cache, Path(shutil.copyfile(found, folder / "copy")), sha256, f"{name} ({found} in the mirror)")


def mirror_index() -> dict[str, Path]:
    """SHA-256 -> path, read from the SHA256SUMS file of the folder that REPLICATIONS_MIRROR names; empty without."""
    if not (folder := os.environ.get(MIRROR)):
        return {}
    sums = Path(folder) / "SHA256SUMS"
    try:
        lines = [line.split(maxsplit=1) for line in sums.read_text(encoding="utf-8").splitlines() if line.strip()]
        return {sha256: Path(folder) / name.lstrip("*") for sha256, name in lines}
    except (OSError, ValueError):
        raise Refusal(f"{MIRROR} names {folder}, which should hold a SHA256SUMS file of `hash  path` lines") from None


def _place(cache: Path, sha256: str) -> Path:
    return cache / "files" / sha256[:2] / sha256
