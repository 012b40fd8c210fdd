"""Files at addresses, and members of archives at addresses; archives are opened as data and never built.

An address pins a version or a commit; the catalogue's SHA-256 pins the bytes.
"""

import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable
from pathlib import Path

from replications import files
from replications.errors import Refusal, Unavailable
from replications.lens import store
from replications.lens.catalogue import WebFile, WebSource

TIMEOUT = 30  # seconds of silence


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
            found[name] = store.adopt(cache, _taken(file, brought[file.url], folder / f"of-{name}"), file.sha256, name)
    return found


def ask(source: WebSource) -> None:
    """Raise Unavailable unless the first address answers."""
    first = next(iter(source.files.values()))
    with _opened(urllib.request.Request(first.url, method="HEAD")):
        pass


def _bring(file: WebFile, target: Path) -> Path:
    with _opened(urllib.request.Request(file.url)) as answer, open(target, "wb") as out:
        shutil.copyfileobj(answer, out)
    if file.archive and (got := files.sha256(target)) != file.archive:
        raise Refusal(f"{file.url} is not the pinned archive: expected SHA-256 {file.archive}, got {got}")
    return target


def _opened(request: urllib.request.Request):
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise Unavailable(f"{request.full_url} does not answer ({getattr(error, 'reason', error)})") from None


def _taken(file: WebFile, brought: Path, target: Path) -> Path:
    """The file itself: a copy of what was brought, or its member. Refuses an archive without it."""
    if file.member is None:
        return Path(shutil.copyfile(brought, target))
    try:
        if zipfile.is_zipfile(brought):
            with zipfile.ZipFile(brought) as archive, archive.open(file.member) as member, open(target, "wb") as out:
                shutil.copyfileobj(member, out)
        else:
            with tarfile.open(brought) as archive, open(target, "wb") as out:
                member = archive.extractfile(file.member)  # None for a folder or a link
                if member is None:
                    raise KeyError(f"{file.member} is not a file")
                shutil.copyfileobj(member, out)
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise Refusal(f"{file.url}: cannot read {file.member}: {error}") from None
    return target
