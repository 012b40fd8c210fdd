"""Layers or tasks side by side: one thread each, where the matrices of one are too small to be shared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")
Made = TypeVar("Made")


def side_by_side(make: Callable[[Item], Made], items: Sequence[Item], doing: str = "") -> list[Made]:
    """make(item) of every item in order, as many at a time as torch has threads, each with one thread of its own.

    Threads that shared the small products of one item would wait for each other at every one of them, the longer the
    busier the machine is. Results do not depend on the number of threads. Within, nothing is split any further.
    `doing` names the progress bar; without it there is none.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        return list(_watched(map(make, items), len(items), doing))
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(_watched(pool.map(make, items), len(items), doing))


def _watched(made: Iterable[Made], total: int, doing: str) -> Iterable[Made]:
    return track(made, doing, total, console=Console(stderr=True), transient=True) if doing else made
