"""The edge of the program: whatever goes wrong inside becomes one sentence on stderr and an exit code.

A refusal is 2, Ctrl-C 130, everything else 1. `--debug` shows the traceback instead.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from replications.errors import Refusal

DEBUG = "--debug"
REMEDIES = {
    errno.ENOSPC: "make room there, or point REPLICATIONS_CACHE or --out at another disk",
    errno.EDQUOT: "make room there, or point REPLICATIONS_CACHE or --out at another disk",
    errno.EFBIG: "allow larger files there (ulimit -f), or point REPLICATIONS_CACHE or --out elsewhere",
    errno.EROFS: "mount it for writing, or point REPLICATIONS_CACHE or --out elsewhere",
    errno.EACCES: "allow this user to read and write there, or point REPLICATIONS_CACHE or --out elsewhere",
    errno.EPERM: "allow this user to read and write there, or point REPLICATIONS_CACHE or --out elsewhere",
    errno.ENOTDIR: "there should be a folder where a file is: move the file away, or name another place",
    errno.EEXIST: "there should be a folder where a file is: move the file away, or name another place",
    errno.EISDIR: "there should be a file where a folder is: move the folder away, or name another place",
    errno.ENOENT: "restore it (`git restore` for what is in the repository), or run the command that writes it",
    errno.ENAMETOOLONG: "choose shorter names for the folders above",
    errno.ELOOP: "the link should lead to a file",
    errno.EMFILE: "allow more open files (ulimit -n)",
}
DAMAGED = (
    "BadZipFile",
    "TarError",
    "ReadError",
    "LZMAError",
    "BadGzipFile",
    "SafetensorError",
    "EOFError",
    "zlib.error",
)


class Stopped(KeyboardInterrupt):
    """Ctrl-C, with a sentence about what is kept and how to go on."""


def guarded(program: Callable[[list[str]], object]) -> int:
    """Run `program` on the words of the command line; returns the exit code. Nothing is raised."""
    _never_raise_on_output()
    words, debug = [word for word in sys.argv[1:] if word != DEBUG], DEBUG in sys.argv[1:]
    try:
        program(words)
        sys.stdout.flush()
    except SystemExit as end:
        _flush()
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        if isinstance(error, BrokenPipeError) and _output_fails(error):  # whoever reads our output has seen enough
            _silence()
            return 1
        if hasattr(error, "exit_code"):  # of the command line itself: how it is used, or that it has said all
            if hasattr(error, "show"):
                error.show()
            _flush()
            return error.exit_code
        _say(error, words, debug)
        _flush()
        if isinstance(error, KeyboardInterrupt):
            _leave_threads()
            return 130
        return 2 if isinstance(error, Refusal) else 1
    return 0


def sentence(error: BaseException, words: list[str]) -> str:
    """What is wrong, where, and what would be right."""
    if isinstance(error, Refusal):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return str(error) or f"stopped: `{command(words)}` begins again, nothing is half written"
    if isinstance(error, OSError) and not _is_damage(error):
        return _of_system(error)
    if isinstance(error, MemoryError) or ("alloc" in str(error) and "memory" in str(error).lower()):
        return "there is not enough memory: close other programs, or choose a smaller model or profile" + _at(error)
    near = _near(error)
    named = near or "a file"
    if isinstance(error, UnicodeError):
        return f"{named} is not UTF-8 text ({error}): restore it, or save it as UTF-8"
    if isinstance(error, RecursionError):
        return f"{named} is nested too deeply to be read: restore it, or write it flat"
    if _is_damage(error):
        return f"{named} is damaged ({_first_line(error)}): delete it, so that it is fetched or made again"
    if type(error).__module__.startswith("http."):
        return f"the server's answer is not HTTP ({_first_line(error)}): a proxy may be in between; try again later"
    if type(error).__module__.startswith(("ruamel", "json")):
        return f"{named} cannot be parsed ({_first_line(error)}): correct it, or restore it"
    return f"unexpected {type(error).__name__}{f' at {near}' if near else ''}: {_first_line(error)}; " + (
        f"run `{command([DEBUG, *words])}` for the traceback"
    )


def command(words: list[str]) -> str:
    """The command line as it can be typed again."""
    return shlex.join(["replicate", *words])


def _of_system(error: OSError) -> str:
    said = error.strerror or _first_line(error)
    if error.filename is None and _output_fails(error):
        return f"standard output: {said}: send it to a place that takes it"
    where = error.filename if error.filename is not None else _near(error)
    if isinstance(where, bytes):
        where = os.fsdecode(where)
    remedy = REMEDIES.get(error.errno or 0)
    return f"{where or 'a file or a connection'}: {said}" + (f": {remedy}" if remedy else "")


def _output_fails(error: OSError) -> bool:
    """Whether the program's own output cannot be written: what it printed last, or what still waits to be."""
    printing = ("_write_buffer", "_show")  # of rich, and of tables that are no picture
    if any(frame.f_code.co_name in printing for frame, _ in traceback.walk_tb(error.__traceback__)):
        return True
    try:
        sys.stdout.flush()
    except OSError:
        return True
    except ValueError:
        return False
    return False


def _is_damage(error: BaseException) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__} | {f"{type(error).__module__}.{type(error).__name__}"}
    return bool(names.intersection(DAMAGED))


def _at(error: BaseException) -> str:
    near = _near(error)
    return f" (while at {near})" if near else ""


def _near(error: BaseException) -> Path | None:
    """The file that the innermost of our functions was about: its local path, the nearest to the fault."""
    found = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if not frame.f_globals.get("__name__", "").startswith("replications."):
            continue
        local = frame.f_locals
        paths = [
            local[name] for name in ("file", "path", "source", "folder", "out") if isinstance(local.get(name), Path)
        ]
        found = paths[0] if paths else found
    return found


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _say(error: BaseException, words: list[str], debug: bool) -> None:
    if "replications.progress" in sys.modules:
        from replications import progress

        progress.close()
    with contextlib.suppress(OSError, ValueError):
        if debug:
            traceback.print_exception(error)
        else:
            from replications.report.escape import terminal  # a name or a file's line may hold anything

            print(terminal(sentence(error, words)).plain, file=sys.stderr)


def _never_raise_on_output() -> None:
    """A terminal that lacks a letter gets its number instead; nothing ends for that."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _silence()


def _silence() -> None:
    """Let nothing more be written to a standard output that is gone, not even at the interpreter's end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave_threads() -> None:
    """End at once where other threads would first finish what they are at, which can take minutes."""
    if any(not thread.daemon and thread is not threading.main_thread() for thread in threading.enumerate()):
        os._exit(130)
