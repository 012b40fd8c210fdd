"""Files that only a mirror folder holds. `sources` looks there before any route; past that there is nothing to ask."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from replications.catalogue import store
from replications.catalogue.entries import MirrorSource
from replications.errors import Unavailable


def download(source: MirrorSource, names: Iterable[str], cache: Path) -> dict[str, Path]:
    """Always Unavailable: what a mirror has was found already."""
    raise Unavailable(f"no mirror holds {', '.join(names)} ({source.note})")


def ask(source: MirrorSource) -> None:
    """Always Unavailable, likewise, with one clause."""
    raise Unavailable(f"no folder named by {store.MIRROR} holds {next(iter(source.files))}")
