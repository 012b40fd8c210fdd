"""Where runs lie: FOLDER/<room>/<model>/<language>, each replaced as a whole and never half of it.

A run is written under FOLDER/.partial first. When it is whole, what was there is renamed away, the new folder takes its
place, and the old one is deleted; `recover` finishes or undoes what a killed process has left of that.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from replications.errors import Refusal
from replications.settings import REPORTS

PARTIAL, OLD = ".partial", ".old"
LOCAL = Path("reports", "local")  # where trial runs go, from the root of the checkout
RunPlace = tuple[str, str, str]  # room, model, language


@contextmanager
def replaced(folder: Path, place: RunPlace) -> Iterator[Path]:
    """Within the block, an empty folder to write a run to; if the block ends well, it is FOLDER/<place> from then on.

    Refuses a run that another process is making at the same place.
    """
    fresh, target = folder / PARTIAL / Path(*place), folder / Path(*place)
    recover(folder)
    with _held(fresh) as free:
        if not free:
            raise Refusal(f"another process is writing {target}: wait until it has ended, or give --out another folder")
        try:
            yield fresh
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            _tidy(folder, fresh)
            raise
        _swap(fresh, target)
        _tidy(folder, fresh)


def recover(folder: Path) -> None:
    """Finish or undo what killed runs have left in FOLDER/.partial; runs that are under way are left alone."""
    for part in sorted((folder / PARTIAL).glob("*/*/*")):
        fresh = part.with_name(part.name.removesuffix(OLD))
        with _held(fresh) as free:
            if not free:
                continue
            target = folder / fresh.relative_to(folder / PARTIAL)
            if _old(fresh).exists() and not target.exists():  # killed between the two renames: one of both is whole
                os.replace(fresh if any(fresh.iterdir()) else _old(fresh), target)
            else:
                shutil.rmtree(fresh, ignore_errors=True)
            _tidy(folder, fresh)
    for empty in (*(folder / PARTIAL).glob("*/*"), *(folder / PARTIAL).glob("*"), folder / PARTIAL):
        with contextlib.suppress(OSError):  # of a run that was killed while it tidied up, or else not empty
            empty.rmdir()


def upstream(out: Path, place: RunPlace, name: str) -> Path:
    """A file of the run that another room left at `place`: beside the run that `out` is of, else in the evidence."""
    beside = root_of(out) / Path(*place) / name
    return beside if beside.is_file() else REPORTS / Path(*place) / name


def root_of(out: Path) -> Path:
    """FOLDER of a run's folder, whether it is under way or whole."""
    root = out.parents[2]
    return root.parent if root.name == PARTIAL else root


def _swap(fresh: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        os.replace(target, _old(fresh))
    os.replace(fresh, target)


def _old(fresh: Path) -> Path:
    return fresh.with_name(fresh.name + OLD)


def _tidy(folder: Path, fresh: Path) -> None:
    """Delete what was replaced, and every folder of .partial that is empty then."""
    shutil.rmtree(_old(fresh), ignore_errors=True)
    for parent in (fresh, *fresh.parents):
        if parent == folder:
            break
        with contextlib.suppress(OSError):
            parent.rmdir()


@contextmanager
def _held(fresh: Path) -> Iterator[bool]:
    """Whether nobody else holds this folder, which is made if need be; if so it is held within the block."""
    while True:
        try:
            fresh.mkdir(parents=True, exist_ok=True)
            handle = os.open(fresh, os.O_RDONLY)
        except FileNotFoundError:
            continue  # a parent was taken away as empty just now
        try:
            free = _locked(handle)
            if free and not _same(handle, fresh):
                continue  # taken away by its last holder just now
            yield free
            return
        finally:
            os.close(handle)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _same(handle: int, fresh: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(fresh))
    except FileNotFoundError:
        return False
