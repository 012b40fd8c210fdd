"""Finished parts of a long run, kept until the run ends, so that a killed run goes on where it stopped.

A shard is a few tensors in one safetensors file. Which run it belongs to is a digest of everything that could change
its numbers: what the caller names (room, model, params, stimuli), the room's code and the versions of the libraries.
A run that ends well takes its shards away: what is in reports/ never comes from an earlier run.

Several processes can work on one run, on every machine that shares the cache: its owner, which writes the evidence, and
helpers, which only make shards. Each shard has a lock that ends with the process that is making it, so that none is
made twice, and what a killed process was at is taken over by the others.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from replications import imports, progress
from replications.catalogue import store
from replications.evidence.versions import versions

POLL = 0.2  # seconds between two looks at what other processes are making
PATIENCE = 60.0  # seconds for which a helper waits for the owner, which may still be loading the model

Make = Callable[[], Mapping[str, Tensor]]
Shard = dict[str, Tensor]
Over = Callable[[Callable[[str], None], Sequence[str]], Iterable[None]]

_HELPS: ContextVar[bool] = ContextVar("helps", default=False)


class Ended(Exception):  # noqa: N818  (nothing went wrong)
    """Nothing is left for a helper to do: all shards are made, or the owner of the run has ended."""


@dataclass(frozen=True)
class Keep:
    """The shards of one run: `kept(name, make)` is `make()`, made once by whichever process comes first.

    Whoever comes second waits and reads it. `prefix` stands before the names of shards.
    """

    cache: Path
    folder: Path
    helps: bool = False
    prefix: str = ""

    def __call__(self, name: str, make: Make) -> Shard:
        """One shard, on which what follows depends."""
        (found,) = self._all({name: make}, map, progress.Step("", 1))
        return found

    def each(self, makers: Mapping[str, Make], doing: str, over: Over = map) -> list[Shard]:
        """Shards that do not depend on each other, in the order of their names; `doing` is what progress is shown of.

        What another process is making is left to it, and taken over if that process dies. `over` goes through the
        names as `map` does, for instance several at a time.
        """
        with progress.step(doing, len(makers)) as step:
            return self._all(makers, over, step)

    def under(self, prefix: str) -> Keep:
        """The same with a further part before all names."""
        return replace(self, prefix=f"{self.prefix}{prefix}/")

    def complete(self) -> None:
        """All shards are made, and the owner alone goes on: a helper ends here, by raising Ended."""
        if self.helps:
            raise Ended

    def _all(self, makers: Mapping[str, Make], over: Over, step: progress.Step) -> list[Shard]:
        found: dict[str, Shard] = {}

        def take(name: str) -> None:
            shard = self._taken(self.folder / f"{self.prefix}{name}.safetensors", makers[name])
            if shard is not None:
                found[name] = shard
                step.done = len(found)

        while left := [name for name in makers if name not in found]:
            before = len(found)
            for _ in over(take, left):
                pass
            if len(found) == before:
                time.sleep(POLL)
        return [found[name] for name in makers]

    def _taken(self, file: Path, make: Make) -> Shard | None:
        """The shard, made if need be; None while another process is making it."""
        if (found := _read(file)) is not None:
            return found
        self._check_owner()
        with store.unless_locked(self.cache, self._lock(file)) as free:
            if not free:
                return None
            found = _read(file)  # it may have been made just now
            if found is None:
                self._check_owner()
                found = {key: tensor.detach().cpu().contiguous() for key, tensor in make().items()}
                self._put(file, found)
            return found

    def _check_owner(self) -> None:
        """End a helper whose run has no owner any more. Asked after a shard was not there: see `_remove`."""
        if self.helps and not _owned(self.cache, self.folder):
            raise Ended

    def _put(self, file: Path, found: Shard) -> None:
        if self.helps and not self.folder.is_dir():
            raise Ended
        store.put(self.cache, file, save(found))

    def _lock(self, file: Path) -> str:
        name = file.relative_to(self.folder).as_posix()
        return f"{self.folder.name}.{hashlib.sha256(name.encode()).hexdigest()[:16]}"


@contextmanager
def keep(identity: Mapping[str, Any], cache: Path | None = None) -> Iterator[Keep]:
    """Within the block, the shards of this run, with those that a killed run of the same identity has left.

    `identity` is a tree that JSON can hold and names the `room` and the `model`. The shards of an earlier state of the
    same room and model, which nothing can use any more, are deleted. A second owner of the same run waits; within
    `helping`, the block helps the owner that is at work.
    """
    cache = cache or store.cache_root()
    folder = _place(identity, cache)
    if _HELPS.get():
        _await_owner(cache, folder)
        yield Keep(cache, folder, helps=True)
        return
    with ExitStack() as held:
        with store.writing(cache):  # of what the block itself writes, elsewhere, this could not speak
            held.enter_context(store.locked(cache, folder.name, folder.name.partition("@")[0]))
            folder.mkdir(parents=True, exist_ok=True)
        for old in folder.parent.glob(f"{_owner(identity)}@*"):
            if old != folder:
                _clear(cache, old)
        yield Keep(cache, folder)
        _remove(cache, folder)


@contextmanager
def helping() -> Iterator[None]:
    """Within the block, `keep` helps: it deletes nothing, and the block ends where no shard is left to be made."""
    token = _HELPS.set(True)
    try:
        yield
    except Ended:
        pass
    finally:
        _HELPS.reset(token)


def _await_owner(cache: Path, folder: Path) -> None:
    """Return when the run has an owner; a helper that has waited in vain ends."""
    until = time.monotonic() + PATIENCE
    while not _owned(cache, folder):
        if time.monotonic() > until:
            raise Ended
        time.sleep(POLL)


def _owned(cache: Path, folder: Path) -> bool:
    """Whether an owner is at work on the run: the folder is there from its first moment to its last."""
    if not folder.is_dir():
        return False
    with store.unless_locked(cache, folder.name) as free:
        return not free


def _clear(cache: Path, folder: Path) -> None:
    """Delete the shards of an earlier state, unless a process is at work on them."""
    with store.unless_locked(cache, folder.name) as free:
        if free:
            _remove(cache, folder)


def _remove(cache: Path, folder: Path) -> None:
    """Delete all shards of a run, and their locks.

    The folder is renamed first: a helper that misses a shard and then finds the folder knows that the run goes on.
    """
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    with suppress(FileNotFoundError):
        os.replace(folder, old)
    for lock in (cache / "locks").glob(f"{folder.name}.*.lock"):
        lock.unlink(missing_ok=True)
    shutil.rmtree(old, ignore_errors=True)


def _read(file: Path) -> Shard | None:
    """A shard's tensors; None when there is none, or when the disk has lost part of it."""
    try:
        return load_file(file)
    except (OSError, SafetensorError):
        return None


def _owner(identity: Mapping[str, Any]) -> str:
    return "-".join(str(identity[part]) for part in ("room", "model", "language") if part in identity)


def _place(identity: Mapping[str, Any], cache: Path) -> Path:
    """Folder of a run's shards: who it belongs to, and a digest of what its numbers depend on."""
    made_by = versions() | {"code": imports.digest(f"replications.{identity['room']}.stage")}
    text = json.dumps([identity, made_by], sort_keys=True)
    return cache / "shards" / f"{_owner(identity)}@{hashlib.sha256(text.encode()).hexdigest()[:16]}"
