"""Published dictionaries: fetched from the hub file by file, checked by hash, never as code or pickle."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import torch
from jaxtyping import Float
from pydantic import AfterValidator, Field
from torch import Tensor

from replications.catalogue import hub, store
from replications.catalogue.entries import Commit, Hash, Licence
from replications.dictionaries import saelens
from replications.dictionaries.sae import Dictionary
from replications.dictionaries.stream import Site
from replications.files import read_yaml
from replications.records import ById, Record

FILE = Path(__file__).parent / "published.yaml"


def _both(files: dict[str, str]) -> dict[str, str]:
    if set(files) != {saelens.CONFIG, saelens.WEIGHTS}:
        raise ValueError(f"the files are {saelens.CONFIG} and {saelens.WEIGHTS}, each with its SHA-256")
    return files


class Published(Record):
    """One dictionary of the hub: where it lies, and what it was trained on."""

    id: str
    model: str
    site: Annotated[str, Field(pattern=r"^(resid_pre|mlp_out|mlp_post)\.\d+$")]
    repo: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: Commit
    folder: Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)*$")]
    files: Annotated[dict[str, Hash], AfterValidator(_both)]
    centred: bool = False
    licence: Licence
    paper: str


@dataclass(frozen=True)
class _Files:
    """What `hub.download` asks of a source: files of one commit."""

    repo: str
    revision: str
    files: dict[str, str]


@lru_cache
def load_published(path: Path = FILE) -> dict[str, Published]:
    """Every published dictionary by id. Refuses a malformed file."""
    return read_yaml(path, ById[Published])


def of_model(model: str) -> list[Published]:
    """Those that were trained on a model of the catalogue."""
    return [entry for entry in load_published().values() if entry.model == model]


def fetch(entry: Published) -> Dictionary:
    """The dictionary. Raises Unavailable when the hub does not answer, Refusal on wrong bytes or another layout."""
    cache = store.cache_root()
    names = [f"{entry.folder}/{name}" for name in (saelens.CONFIG, saelens.WEIGHTS)]
    pinned = {f"{entry.folder}/{name}": sha256 for name, sha256 in entry.files.items()}
    here: dict[str, Path | None] = {name: store.stored(cache, sha256) for name, sha256 in pinned.items()}
    missing = [name for name in names if here[name] is None]
    if missing:
        with store.writing(cache):
            source: Any = _Files(entry.repo, entry.revision, pinned)
            here |= hub.download(source, missing, cache)
    config, weights = (path for name in names if (path := here[name]) is not None)
    return saelens.from_files(config, weights)


def own_mean(x: Float[Tensor, "n d"], entry: Published) -> Float[Tensor, "n 1"]:
    """What has to be taken off an activation before the dictionary sees it, and added to what it gives back."""
    return x.mean(dim=-1, keepdim=True) if entry.centred else torch.zeros_like(x[..., :1])


def site_of(entry: Published) -> Site:
    """Its hook point."""
    return Site.parse(entry.site)
