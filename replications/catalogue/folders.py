"""Folders that transformers loads: what they are called, what they say they hold, and whether they still hold it.

Weights are one model.safetensors, or several files of which model.safetensors.index.json says what lies where.
"""

import contextlib
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replications import files
from replications.catalogue import entries
from replications.catalogue.entries import HubSource, ModelEntry, PackageSource
from replications.errors import Refusal

CONVERTER = 1  # raise when a change to the conversion would alter the tensors
MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"


def place(cache: Path, entry: ModelEntry, source: PackageSource | HubSource) -> Path:
    """Where the folder made from `source` lies: named by the start of the weights' hash, or else of the commit."""
    pins = [source.hashes[name] for name in entries.weight_files(source)]
    commit = source.revision if isinstance(source, HubSource) else None
    known = [pin for pin in pins if pin is not None]
    key = _joint(known) if len(known) == len(pins) else commit or "main"
    return cache / "models" / f"{entry.id}-{key[:16]}-c{CONVERTER}"


def find(cache: Path, entry: ModelEntry) -> Path | None:
    """The intact folder of the first source that has one."""
    places = (place(cache, entry, source) for source in entry.sources)
    return next((folder for folder in places if is_intact(folder)), None)


def is_intact(folder: Path) -> bool:
    """Whether every file that the folder's manifest lists is there with its bytes.

    Sizes and times are compared; bytes are hashed only where those differ, and the new time is then recorded.
    """
    if not (folder / MANIFEST).is_file():
        return False
    try:
        manifest = read_manifest(folder)
        held = manifest["holds"]
        changed = [name for name, record in held.items() if _stat(folder / name) != (record["bytes"], record["time"])]
        whole = bool(shards(manifest)) and all(files.sha256(folder / name) == held[name]["sha256"] for name in changed)
    except (OSError, Refusal, KeyError, TypeError, AttributeError):
        return False
    if whole and changed:
        with contextlib.suppress(OSError):  # a cache that others own may be read-only
            write_manifest(folder, manifest)
    return whole


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a folder was made of (`source`, `files`, `converter`) and holds (name -> sha256, bytes, time)."""
    return files.read_json(folder / MANIFEST)


def shards(manifest: dict[str, Any]) -> list[str]:
    """Names of the weight files that a folder holds, in order: model.safetensors, or the parts of a large model."""
    return sorted(name for name in manifest["holds"] if name.endswith(".safetensors"))


def weights_hash(manifest: dict[str, Any]) -> str:
    """SHA-256 of a folder's model.safetensors; of several parts, that of their hashes in the order of their names."""
    return _joint([manifest["holds"][name]["sha256"] for name in shards(manifest)])


def unreadable(folder: Path) -> str:
    """The first weight file of a folder that safetensors cannot open, with the reason; empty when all can be."""
    from safetensors import SafetensorError, safe_open

    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, "np"):
                pass
        except (OSError, SafetensorError) as error:
            return f"{path} cannot be read ({error})"
    return ""


def write_encoder(folder: Path, shape: dict[str, Any], weights: dict[str, NDArray[np.float32]], name: str) -> None:
    """Write config.json and model.safetensors of a BertModel without pooling layer; `shape` is its BertConfig's.

    Refuses weights that are not exactly its tensors; `name` is the file they were read from.
    """
    import torch
    from transformers import BertConfig, BertModel

    model = BertModel(BertConfig(**shape), add_pooling_layer=False)
    want = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    got = {key: value.shape for key, value in weights.items()}
    if wrong := [key for key in sorted(want | got) if got.get(key) != want.get(key)]:
        one = f"{wrong[0]} is {got.get(wrong[0], 'missing')}, not {want.get(wrong[0], 'wanted')}"
        raise Refusal(f"{name} does not hold the tensors of a BertModel: {one}")
    model.load_state_dict({key: torch.from_numpy(value.copy()) for key, value in weights.items()})
    model.save_pretrained(folder)


def write_manifest(folder: Path, origin: dict[str, Any]) -> None:
    """Record `origin`, and every file of the folder by hash, size and time."""
    holds = {}
    for name in sorted(path.name for path in folder.iterdir() if path.name != MANIFEST):
        size, time = _stat(folder / name)
        holds[name] = {"sha256": files.sha256(folder / name), "bytes": size, "time": time}
    files.write_json(folder / MANIFEST, {**origin, "holds": holds})


def _joint(hashes: list[str]) -> str:
    return hashes[0] if len(hashes) == 1 else hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def _stat(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
