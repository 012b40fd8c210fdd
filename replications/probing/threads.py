"""Layers or tasks side by side: one thread each, where the matrices of one are too small to be shared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from replications import progress

Item = TypeVar("Item")
Made = TypeVar("Made")


def side_by_side(make: Callable[[Item], Made], items: Sequence[Item], doing: str = "") -> list[Made]:
    """make(item) of every item in order, as many at a time as torch has threads, each with one thread of its own.

    Threads that shared the small products of one item would wait for each other at every one of them, the longer the
    busier the machine is. Results do not depend on the number of threads. Within, nothing is split any further.
    `doing` says what progress is shown of; without it nothing is. After Ctrl-C nobody waits for the threads.
    """
    threads, wait = torch.get_num_threads(), True
    if threads == 1:
        return list(_watched(map(make, items), len(items), doing))
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        return list(_watched(pool.map(make, items), len(items), doing))
    except KeyboardInterrupt:
        wait = False
        raise
    finally:
        pool.shutdown(wait, cancel_futures=True)


def _watched(made: Iterable[Made], total: int, doing: str) -> Iterable[Made]:
    return progress.watched(made, doing, total) if doing else made
