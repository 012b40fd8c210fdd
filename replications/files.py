"""Small files, written so that a reader finds the old text or the new text and never half of one.

JSON has sorted keys, one level of indentation per depth, floats at six significant digits and a final newline, so that
two runs that measured the same thing write the same bytes.
"""

import contextlib
import csv
import fcntl
import hashlib
import io
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from replications.errors import Refusal

DIGITS = 6
_BLOCK = 1 << 20
_LEFTOVER = re.compile(r"\..+\.[a-z0-9_]{8}")  # what `write_bytes` writes to before it renames


def write_bytes(path: Path, data: bytes) -> Path:
    """Write `data` to a temporary file beside `path` and rename it over `path`; makes missing folders.

    An OSError names `path`, whatever it was that could not be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while not _put(path, data):
            pass
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
    return path


def sweep(folder: Path) -> list[Path]:
    """Remove what killed writes have left in a folder and below it; returns what was removed.

    A temporary file that is being written is locked by its writer, and stays.
    """
    removed = []
    for path in folder.rglob(".*"):
        if _LEFTOVER.fullmatch(path.name) and path.is_file() and not path.is_symlink() and _removed(path):
            removed.append(path)
    return removed


def _put(path: Path, data: bytes) -> bool:
    """Whether `path` has become `data`; not when somebody took the temporary file for a killed write's."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            with contextlib.suppress(OSError):  # a file system without locks has no `sweep` either
                fcntl.flock(file, fcntl.LOCK_EX)
            file.write(data)
            file.flush()
            os.chmod(file.fileno(), 0o666 & ~_umask())
            if not os.path.exists(name):
                return False
            os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return True


def _removed(path: Path) -> bool:
    """Remove a temporary file, unless somebody is writing it."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except OSError:
        return False
    return True


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text atomically; line ends are written as given."""
    return write_bytes(path, text.encode())


def write_json(path: Path, tree: Any) -> Path:
    """Write a JSON tree atomically. Not-a-number and infinity are a bug of the caller: ValueError."""
    text = json.dumps(rounded(tree), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return write_text(path, text + "\n")


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None) -> Path:
    """Write rows (or a DataFrame) atomically; `columns` defaults to the first row's keys; None and NaN are empty."""
    records = rows.to_dict("records") if hasattr(rows, "to_dict") else list(rows)
    header = list(columns or (records[0] if records else ()))
    buffer = io.StringIO()
    table = csv.DictWriter(buffer, header, lineterminator="\n")
    table.writeheader()
    table.writerows({key: _cell(value) for key, value in record.items()} for record in records)
    return write_text(path, buffer.getvalue())


def read_json(path: Path) -> Any:
    """Parsed JSON file. Refuses a missing file or one that is cut off or otherwise not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Refusal(f"{path} does not exist") from None
    except ValueError as error:
        raise Refusal(f"{path} is not valid JSON ({error}): restore it or run the stage that writes it") from None


def rounded(tree: Any) -> Any:
    """The same tree with plain Python values and every float at six significant digits."""
    if isinstance(tree, Mapping):
        return {str(key): rounded(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [rounded(value) for value in tree]
    if hasattr(tree, "tolist"):  # numpy and torch: scalars become numbers, arrays lists
        return rounded(tree.tolist())
    return float(f"{tree:.{DIGITS}g}") if isinstance(tree, float) else tree


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _cell(value: Any) -> Any:
    """What one CSV field shows: '' for None and NaN, six significant digits for floats."""
    value = rounded(value)
    return "" if value is None or value != value else value


def _umask() -> int:
    """The process's umask; reading it means setting it, so it is put back at once."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
