"""Dictionaries on disk, in SAELens' layout: a folder with cfg.json and sae_weights.safetensors.

What is written here SAELens 6 loads, and what it wrote can be read: architectures standard, topk and jumprelu, also
with the flat cfg.json from before version 6. Anything that would need another forward pass is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from replications import files
from replications.dictionaries.sae import TENSORS, Dictionary
from replications.errors import Refusal

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
ARCHITECTURE = {"standard": "standard", "topk": "topk", "batch_topk": "jumprelu"}
KIND = {architecture: kind for kind, architecture in ARCHITECTURE.items()}
VERSION = "6.0.0"  # of the layout


def write(dictionary: Dictionary, folder: Path) -> Path:
    """Write both files, each whole or not at all; the same dictionary gives the same bytes."""
    tensors = {name: getattr(dictionary, name).detach().cpu().contiguous() for name in TENSORS}
    if dictionary.threshold is not None:
        tensors["threshold"] = dictionary.threshold.detach().cpu().contiguous()
    files.write_bytes(folder / WEIGHTS, save(tensors))
    files.write_text(folder / CONFIG, json.dumps(_config(dictionary), sort_keys=True, indent=1) + "\n")
    return folder


def read(folder: Path) -> Dictionary:
    """The dictionary of a folder. Refuses files that are damaged, incomplete, or of an architecture not known here."""
    return from_files(folder / CONFIG, folder / WEIGHTS)


def from_files(config: Path, weights: Path) -> Dictionary:
    """The same from two files that lie anywhere."""
    raw = files.read_json(config)
    settings = {**raw, **(raw.get("metadata") or {})}
    kind = _kind(settings, config)
    tensors = _tensors(weights, (*TENSORS, *(["threshold"] if kind == "batch_topk" else [])))
    _check_shapes(tensors, weights)
    k = _k(settings) if kind == "topk" else None
    more: dict[str, Any] = {name: tensors[name] for name in TENSORS}
    info = dict(raw.get("metadata") or _place(raw))
    found = Dictionary(kind, **more, k=k, threshold=tensors.get("threshold"), info=info)
    if settings.get("apply_b_dec_to_input", True):
        return found
    return replace(found, b_enc=found.b_enc + found.b_dec @ found.W_enc)  # b_dec is added back before it is taken off


def _config(dictionary: Dictionary) -> dict[str, Any]:
    settings = {
        "architecture": ARCHITECTURE[dictionary.kind], "d_in": dictionary.d, "d_sae": dictionary.h,
        "dtype": "float32", "device": "cpu", "apply_b_dec_to_input": True, "normalize_activations": "none",
        "reshape_activations": "none", "metadata": {"sae_lens_version": VERSION, **dictionary.info},
    }  # fmt: skip
    return settings | ({"k": dictionary.k} if dictionary.kind == "topk" else {})


def _kind(settings: Mapping[str, Any], config: Path) -> Any:
    """Kind by the architecture's name. Refuses what `Dictionary.encode` does not do."""
    architecture = settings.get("architecture", "standard")
    activation = settings.get("activation_fn_str", settings.get("activation_fn", "relu"))
    if architecture == "standard" and activation == "topk":
        architecture = "topk"  # before version 6
    if architecture not in KIND:
        raise Refusal(f"{config}: architecture {architecture!r} is not known here; known are {', '.join(KIND)}")
    plain = {"normalize_activations": ("none", None, False), "reshape_activations": ("none", None),
             "rescale_acts_by_decoder_norm": (False, None), "finetuning_scaling_factor": (False, None)}  # fmt: skip
    for name, allowed in plain.items():
        if settings.get(name) not in allowed:
            raise Refusal(f"{config}: {name} is {settings[name]!r}; only dictionaries without it can be evaluated here")
    return KIND[architecture]


def _k(settings: Mapping[str, Any]) -> int:
    return int(settings["k"] if "k" in settings else settings["activation_fn_kwargs"]["k"])


def _place(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Model and hook point of a cfg.json from before version 6."""
    names = {"model_name": "model_name", "hook_name": "hook_name", "hook_point": "hook_name"}
    return {new: raw[old] for old, new in names.items() if old in raw}


def _tensors(weights: Path, names: tuple[str, ...]) -> dict[str, Tensor]:
    try:
        held = load(weights.read_bytes())
    except (OSError, SafetensorError) as error:
        raise Refusal(f"{weights} cannot be read as safetensors ({error}): fetch or train it again") from None
    if missing := [name for name in names if name not in held]:
        raise Refusal(f"{weights} lacks {', '.join(missing)}: a dictionary has {', '.join(names)}")
    return {name: held[name].to(torch.float32) for name in names}


def _check_shapes(tensors: Mapping[str, Tensor], weights: Path) -> None:
    d, h = tensors["W_enc"].shape
    want = {"b_enc": (h,), "W_dec": (h, d), "b_dec": (d,), "threshold": (h,)}
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != want.get(name, (d, h)):
            raise Refusal(f"{weights}: {name} is {list(tensor.shape)}, which does not go with W_enc {[d, h]}")
