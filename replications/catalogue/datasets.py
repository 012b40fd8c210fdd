"""Datasets by id: local, checked files, and what evidence records about them."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

from replications.catalogue import sources
from replications.catalogue.entries import DatasetEntry, load_datasets
from replications.errors import Refusal, Unavailable


def find(dataset: str | DatasetEntry) -> DatasetEntry:
    """Catalogue entry of an id; an entry of one's own is handed through. Refuses an unknown id."""
    if isinstance(dataset, DatasetEntry):
        return dataset
    entries = load_datasets()
    if dataset not in entries:
        raise Refusal(f"unknown dataset {dataset!r}: the catalogue has {', '.join(entries)}")
    return entries[dataset]


def fetch(dataset: str | DatasetEntry, *, opt_in: bool = False) -> dict[str, Path]:
    """File name -> local file. Raises Unavailable when no source can be had, Refusal on wrong bytes or consent."""
    entry = find(dataset)
    if not sources.held(entry) and (reason := sources.obstacle(entry, opt_in)):
        raise Unavailable(reason)
    return sources.fetch(entry).files


def read_text(path: Path) -> str:
    """UTF-8 text of a data file, gzipped or not: a mirror may hold it gzipped."""
    data = path.read_bytes()
    try:
        return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise Refusal(f"{path} is cut off, or not UTF-8 text ({error}): fetch it again") from None


def manifest(dataset: str | DatasetEntry, *, opt_in: bool = False) -> dict[str, Any]:
    """What evidence records about a dataset: sources, licence, hashes. The same on every machine and by any route."""
    entry = find(dataset)
    fetch(entry, opt_in=opt_in)
    return {
        "id": entry.id,
        "name": entry.name,
        "licence": str(entry.licence),
        "sources": [source.pin for source in entry.sources],
        "files": dict(entry.sources[0].hashes),
    }
