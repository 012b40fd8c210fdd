"""Finished parts of a long run, kept until the run ends, so that a killed run goes on where it stopped.

A shard is a few tensors in one safetensors file. Which run it belongs to is a digest of everything that could change
its numbers: what the caller names (room, model, params, stimuli), the room's code and the versions of the libraries.
A run that ends well takes its shards away: what is in reports/ never comes from an earlier run.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from replications import imports
from replications.catalogue import store
from replications.evidence.versions import versions

Keep = Callable[[str, Callable[[], Mapping[str, Tensor]]], dict[str, Tensor]]


@contextmanager
def keep(identity: Mapping[str, Any], cache: Path | None = None) -> Iterator[Keep]:
    """Within the block, `kept(name, make)` is `make()` of this run, or of the run of the same identity that was killed.

    `identity` is a tree that JSON can hold and names the `room` and the `model`. The shards of an earlier state of the
    same room and model, which nothing can use any more, are deleted. A second process of the same run waits.
    """
    cache = cache or store.cache_root()
    folder = _place(identity, cache)
    with ExitStack() as held:
        with store.writing(cache):  # of what the block itself writes, elsewhere, this could not speak
            held.enter_context(store.locked(cache, folder.name, folder.name.partition("@")[0]))
        for old in folder.parent.glob(f"{_owner(identity)}@*"):
            if old != folder:
                _clear(cache, old)

        def kept(name: str, make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
            file = folder / f"{name}.safetensors"
            found = _read(file)
            if found is None:
                found = {key: tensor.detach().cpu().contiguous() for key, tensor in make().items()}
                store.put(cache, file, save(found))
            return found

        yield kept
        shutil.rmtree(folder, ignore_errors=True)


def _clear(cache: Path, folder: Path) -> None:
    """Delete the shards of an earlier state, unless a process is at work on them."""
    with store.unless_locked(cache, folder.name) as free:
        if free:
            shutil.rmtree(folder, ignore_errors=True)


def _read(file: Path) -> dict[str, Tensor] | None:
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
