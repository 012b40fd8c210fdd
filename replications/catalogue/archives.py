"""Members of zip and tar archives, read as data; nothing in an archive is run."""

from __future__ import annotations

import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from replications.errors import Refusal

# what the readers raise about a damaged archive; NotImplementedError and RuntimeError: an unknown or encrypted member
DAMAGE = (KeyError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError,
          RuntimeError, ValueError)  # fmt: skip


def taken(name: str, archive: Path, member: str | None, target: Path) -> Path:
    """The member as a file `target`, or a copy of the whole when there is none to take. Refuses as `reading` does."""
    if member is None:
        return Path(shutil.copyfile(archive, target))
    with reading(name, archive, member) as held, open(target, "wb") as out:
        shutil.copyfileobj(held, out)
    return target


@contextmanager
def reading(name: str, archive: Path, member: str) -> Iterator[IO[bytes]]:
    """The open member. Refuses an archive that is damaged or lacks it; `name` is what the archive is called."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened, opened.open(member) as held:
                yield held
        else:
            with tarfile.open(archive) as tar:
                found = tar.extractfile(member)  # None for a folder or a link
                if found is None:
                    raise KeyError(f"{member} is not a file")
                yield found
    except DAMAGE as error:
        raise Refusal(f"{name}: cannot read {member}: {_reason(error)}") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise Refusal(f"{name}: cannot read {member}: {_reason(error)}") from None  # gzip.BadGzipFile, bz2


def _reason(error: Exception) -> str:
    """The reader's word, on one line; it has none about an archive that ends early."""
    if isinstance(error, tarfile.ReadError):
        return "this is no archive, or a damaged one"  # tarfile lists on lines of their own what each reader said
    said = " ".join(str(error.args[0] if error.args else "").split())
    return said or f"the archive is damaged ({type(error).__name__})"
