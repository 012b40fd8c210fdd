"""Small files, written so that a reader finds the old text or the new text and never half of one, and read in one way.

JSON has sorted keys, one level of indentation per depth, floats at six significant digits and a final newline, so that
two runs that measured the same thing write the same bytes. What cannot be read is refused by name; YAML is read by
`yaml12.py`.
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
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from replications.errors import Refusal

if TYPE_CHECKING:
    import pandas

T = TypeVar("T")
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


def read_text(path: Path) -> str:
    """A file's UTF-8 text. Refuses a missing one, one that cannot be opened and one in another encoding."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Refusal(f"{path} does not exist") from None
    except OSError as error:
        raise Refusal(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise Refusal(f"{path} is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}") from None


def read_yaml(path: Path, schema: Any = None) -> Any:
    """The one document of a YAML 1.2 file, with the values that DVC reads; keys are text and stand there once.

    With a `schema`, a Record or a list or mapping of them, it is checked and given as that. Refuses, naming the line or
    the field, whatever is not such a file, and an empty one.
    """
    from replications import records, yaml12  # what only writes files does without them

    text = read_text(path)
    try:
        tree = yaml12.parse(text)
    except yaml12.BadYamlError as error:
        raise Refusal(f"{path} is not readable YAML: {error}") from None
    if tree is None:
        raise Refusal(f"{path} is empty")
    return tree if schema is None else records.checked(tree, schema, path)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Refuses a missing file, one that is cut off or otherwise not JSON, and a list."""
    text = read_text(path)
    try:
        tree = parse_json(text)
        if not isinstance(tree, dict):
            raise ValueError("it holds no object")
        return tree
    except ValueError as error:
        raise Refusal(f"{path} is not valid JSON ({error}): restore it or run the stage that writes it") from None


def parse_json(text: str) -> Any:
    """Parsed JSON. ValueError, with the reason, for all that is not: NaN, Infinity and bottomless nesting as well."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deep") from None


def read_table(path: Path, columns: Sequence[str], **options: Any) -> "pandas.DataFrame":
    """A CSV file with these columns and perhaps others; `options` are pandas'. Refuses one that is not."""
    import pandas

    try:
        table = pandas.read_csv(path, **options)
    except FileNotFoundError:
        raise Refusal(f"{path} does not exist") from None
    except (OSError, ValueError) as error:  # also pandas' own and UnicodeDecodeError
        raise Refusal(f"{path} is not readable CSV ({' '.join(str(error).split())})") from None
    if missing := [name for name in columns if name not in table]:
        raise Refusal(f"{path} has no column {', '.join(missing)}")
    return table


def once_per_file(read: Callable[[Path], T]) -> Callable[[Path], T]:
    """`read(path)`, called again only when the file has changed: its place on the disk, its time or its size.

    Everybody gets the same object, so it should be one that nobody changes.
    """
    held: dict[Path, tuple[tuple[int, int, int], T]] = {}

    @wraps(read)
    def reading(path: Path) -> T:
        try:
            status = os.stat(path)
        except OSError:
            return read(path)  # which says what is wrong with it
        state = status.st_ino, status.st_mtime_ns, status.st_size
        if path not in held or held[path][0] != state:
            held[path] = state, read(path)
        return held[path][1]

    return reading


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


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _umask() -> int:
    """The process's umask; reading it means setting it, so it is put back at once."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
