"""Reading a corpus or a vocabulary makes millions of small objects, and all of them stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Within the block, or a function that this decorates, nobody searches for objects that only hold each other.

    Every so many new objects Python goes through all that there are. Of a corpus or a vocabulary none can be let go,
    and the search takes a third of the time of reading it.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
