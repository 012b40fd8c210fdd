"""From fetched files to a folder that transformers loads: config.json, model.safetensors, tokenizer.

A GGUF file is de-quantised to float32 once; the folder is named by the GGUF's hash, so later loads find it. The folder
appears whole or not at all, and its manifest.json says what it was made of and what it holds.
"""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from replications import files
from replications.errors import Refusal
from replications.lens import catalogue, sources, store
from replications.lens.catalogue import HubSource, ModelEntry, PackageSource

CONVERTER = 1  # raise when a change here would alter the tensors
MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"


def materialise(model: str | ModelEntry, *, opt_in: bool = False) -> Path:
    """Folder with config.json, model.safetensors and tokenizer files of a catalogue id, made if need be.

    Quick when the folder exists: sizes and times are compared, and bytes are hashed only when those differ. Raises
    Unavailable when the weights cannot be had here, Refusal when bytes are wrong or the model needs `opt_in`.
    """
    entry, root = catalogue.find(model), store.cache_root() / "models"
    for source in entry.sources:
        if is_intact(folder := root / _folder_name(entry, source)):
            return folder
    _refuse_unloadable(entry, opt_in)
    return _build(entry, root)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a materialised folder was made of: `source`, `files` and `holds` (name -> sha256, bytes, time)."""
    return files.read_json(folder / MANIFEST)


def is_intact(folder: Path) -> bool:
    """Whether every file the folder's manifest lists is there with its bytes; a damaged folder is to be rebuilt."""
    if not (folder / MANIFEST).is_file():
        return False
    try:
        manifest = read_manifest(folder)
        changed = [name for name, record in manifest["holds"].items() if _stat(folder / name) != _recorded(record)]
        whole = all(files.sha256(folder / name) == manifest["holds"][name]["sha256"] for name in changed)
    except (OSError, Refusal, KeyError, TypeError):
        return False
    if whole and changed:  # same bytes under a new time, as after a copy: hash them this once
        with contextlib.suppress(OSError):  # a cache that others own may be read-only
            _write_manifest(folder, manifest)
    return whole


def _build(entry: ModelEntry, root: Path) -> Path:
    """Fetch, convert, and rename into place."""
    fetched = sources.fetch(entry)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".build-") as temporary:
        folder = Path(temporary) / "folder"
        folder.mkdir()
        _fill(folder, fetched)
        _write_manifest(folder, _origin(entry, fetched))
        return _put(folder, root / _folder_name(entry, fetched.source))


def _fill(folder: Path, fetched: sources.Fetched) -> None:
    """Copy the fetched files, and in the place of a GGUF what is in it."""
    ggufs = {name: path for name, path in fetched.files.items() if name.endswith(".gguf")}
    for name, path in fetched.files.items():
        if name not in ggufs:
            _link(path, folder / name)
    for name, path in ggufs.items():
        dequantise(path, folder, name)


def dequantise(gguf: Path, folder: Path, name: str) -> None:
    """Write the GGUF's tensors as float32 model.safetensors, with config.json and tokenizer, into `folder`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with tempfile.TemporaryDirectory(dir=folder.parent) as start:
        _link(gguf, Path(start) / name)
        try:
            options = {"gguf_file": name, "local_files_only": True}
            model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32, **options)
            tokenizer = AutoTokenizer.from_pretrained(start, **options)
        except Exception as error:  # whatever the reader stumbles over, the file is what is wrong
            raise Refusal(f"{name} cannot be read as GGUF ({type(error).__name__}: {error})") from error
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config  # the tensors are plain now; keeping it would make loading look for GGUF
    model.hf_quantizer = None
    model.save_pretrained(folder, max_shard_size="1TB")
    tokenizer.save_pretrained(folder)
    (folder / WEIGHTS).chmod(0o644)  # safetensors writes 0600, which would shut others out of a shared cache


def _put(folder: Path, place: Path) -> Path:
    """Rename a finished folder into place, over a damaged one; if another process was quicker, keep that one's."""
    if place.exists() and not is_intact(place):
        shutil.rmtree(place)
    try:
        os.rename(folder, place)
    except OSError:
        if not is_intact(place):
            raise
    return place


def _refuse_unloadable(entry: ModelEntry, opt_in: bool) -> None:
    if all(source.format not in catalogue.LOADABLE for source in entry.sources):
        form = entry.sources[0].format
        raise sources.Unavailable(
            f"{entry.id} comes as {form}, for which there is no converter to safetensors yet: it cannot be loaded"
        )
    if entry.opt_in and not opt_in:
        raise sources.Unavailable(
            f"{entry.id} is off by default (licence: {entry.licence}): run `replicate fetch {entry.id} --opt-in` once"
        )


def _folder_name(entry: ModelEntry, source: PackageSource | HubSource) -> str:
    """`<id>-<key>`: the key is the start of the weights' hash, or of the commit where no hash is pinned."""
    pins = [source.hashes[name] for name in catalogue.weight_files(source)]
    key = pins[0] or (source.revision if isinstance(source, HubSource) else None) or "main"
    return f"{entry.id}-{key[:16]}-c{CONVERTER}"


def _origin(entry: ModelEntry, fetched: sources.Fetched) -> dict[str, Any]:
    return {"id": entry.id, "source": fetched.pin, "files": fetched.sha256, "converter": CONVERTER}


def _write_manifest(folder: Path, origin: dict[str, Any]) -> None:
    """Record every file of the folder by hash, size and time."""
    names = sorted(path.name for path in folder.iterdir() if path.name != MANIFEST)
    holds = {}
    for name in names:
        size, time = _stat(folder / name)
        holds[name] = {"sha256": files.sha256(folder / name), "bytes": size, "time": time}
    files.write_json(folder / MANIFEST, {**origin, "holds": holds})


def _stat(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _recorded(record: dict[str, Any]) -> tuple[int, int]:
    return record["bytes"], record["time"]


def _link(path: Path, target: Path) -> None:
    """Hard link where the file system can, else a copy."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)
