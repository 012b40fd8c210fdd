"""What the routes share when they ask a server: trying again, and not asking again one that did not answer."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import TypeVar

from replications.errors import Unavailable

T = TypeVar("T")

TRIES = 4
BACKOFF = 1.0  # seconds before the second try, doubled before every further one
LONGEST = 120.0  # seconds; a server that asks for more patience is not waited for
SHOWN = 5.0  # seconds of waiting from which on it is said why nothing happens
ASK_TIMEOUT = 4.0  # seconds of silence after which a server that is only asked counts as absent
ASK_TRIES, ASK_LONGEST = 2, 5.0
BUSY = (408, 425, 429, 500, 502, 503, 504)  # answers after which another try may help
GITHUB = ("github.com", "raw.githubusercontent.com", "codeload.github.com", "objects.githubusercontent.com")

_silent: set[str] = set()  # hosts that did not answer when this process asked them


def patiently(attempt: Callable[[], T], wait_of: Callable[[Exception], float | None], *, asking: bool = False) -> T:
    """Result of `attempt`, which is made again after an error that may pass.

    `wait_of` says of an error how many seconds the server wants to be left alone, 0 when it says nothing, None when
    another try would not help. The last error is raised as it is.
    """
    tries, longest = (ASK_TRIES, ASK_LONGEST) if asking else (TRIES, LONGEST)
    for number in range(tries):
        try:
            return attempt()
        except Exception as error:
            wanted = wait_of(error)
            if wanted is None or wanted > longest or number + 1 == tries:
                raise
            _wait(max(wanted, BACKOFF * 2**number))
    raise AssertionError("unreachable")


def _wait(seconds: float) -> None:
    if seconds >= SHOWN:
        announce(f"the server asks for patience: waiting {seconds:.0f} s before the next try")
    time.sleep(seconds)


def retry_after(header: str | None) -> float:
    """Seconds that a Retry-After header asks for, a number or a date; 0 without one or when it says neither."""
    if not header:
        return 0.0
    try:
        asked = float(header) if header.strip().isdigit() else parsedate_to_datetime(header).timestamp() - time.time()
        return max(0.0, asked)
    except (ValueError, TypeError):
        return 0.0


@contextmanager
def asked_once(url: str, place: str) -> Iterator[None]:
    """Ask the host of `url` for something; raises Unavailable at once when it did not answer before in this process.

    An Unavailable that says "does not answer" is what is remembered. Downloads do not look here: they try anew.
    """
    host = urllib.parse.urlsplit(url).netloc
    if host in _silent:
        raise Unavailable(no_answer(place))
    try:
        yield
    except Unavailable as error:
        if str(error) == no_answer(place):
            _silent.add(host)
        raise


def is_silent(host: str) -> bool:
    """Whether this host (or place, where a program of its own does the asking) did not answer before."""
    return host in _silent


def silence(host: str) -> None:
    """Remember that it did not answer."""
    _silent.add(host)


def no_answer(place: str) -> str:
    """The one clause about a place that does not answer."""
    return f"{place} does not answer"


def forget() -> None:
    """Ask every host anew: for a network that has come back, and for tests."""
    _silent.clear()


def place_of(url: str) -> str:
    """What a reader calls the host of an address."""
    host = urllib.parse.urlsplit(url).hostname or url
    return "GitHub" if host in GITHUB else host


def announce(line: str) -> None:
    """Tell the user on stderr what is under way."""
    from rich.console import Console

    Console(stderr=True, highlight=False, soft_wrap=True).print(line, markup=False)
