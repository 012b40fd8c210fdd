"""Small files, written so that a reader finds the old text or the new text and never half of one.

JSON has sorted keys, one level of indentation per depth, floats at six significant digits and a final newline, so that
two runs that measured the same thing write the same bytes.
"""

import csv
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from replications.errors import Refusal

DIGITS = 6
_BLOCK = 1 << 20


def write_bytes(path: Path, data: bytes) -> Path:
    """Write `data` to a temporary file beside `path` and rename it over `path`; makes missing folders."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


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
