"""The dictionaries of a model: trained once, kept in the cache, found again by every room that needs them.

They are too large for git. A folder in the cache is named by a digest of everything that its numbers depend on; its
manifest.json lists every file with its SHA-256, and the room `sae` records the same list in its evidence. A folder that
is damaged counts as absent. An interrupted training goes on from its last checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from safetensors.torch import load_file, save
from torch import Tensor

from replications import files, imports
from replications.catalogue import store
from replications.dictionaries import corpus, saelens
from replications.dictionaries.checkpoints import Checkpoints
from replications.dictionaries.corpus import Windows
from replications.dictionaries.recipes import BankRecipe
from replications.dictionaries.sae import Dictionary, Kind
from replications.dictionaries.stream import Site, Stream
from replications.dictionaries.train import BankPlan, BlocksDone, Training, check_budget, train
from replications.errors import Refusal
from replications.evidence.versions import versions
from replications.models import load
from replications.models.load import Loaded
from replications.settings import room_params

MANIFEST, STATISTICS = "manifest.json", "training.safetensors"
RESAMPLED_AT = (1 / 8, 2 / 8, 3 / 8, 4 / 8)  # of the steps; in the paper 25k, 50k, 75k and 100k of a million
WARMUP = 0.05  # of the steps
DictionaryKey = tuple[str, str, int]  # site name, kind, seed


@dataclass(frozen=True)
class Text:
    """Windows to train on in the order of the stream, and held-out ones; each shares its documents with `cut`."""

    train: Windows
    train_order: np.ndarray
    held_out: Windows
    held_out_order: np.ndarray
    digest: str

    def training(self) -> Int[Tensor, "n T"]:
        """Tokens of the stream."""
        return torch.tensor(self.train.tokens[self.train_order]).long()

    def testing(self) -> Int[Tensor, "n T"]:
        """Tokens of the held-out windows, in random order."""
        return torch.tensor(self.held_out.tokens[self.held_out_order]).long()


@dataclass(frozen=True)
class Trained:
    """Dictionaries by (site name, kind, seed), for activations as the model writes them.

    `statistics` by the same key: since_fired [h] (tokens, at the end), losses [block]. `manifest` is what lies on disk.
    """

    dictionaries: dict[DictionaryKey, Dictionary]
    statistics: dict[DictionaryKey, dict[str, Tensor]]
    sites: dict[str, Site]
    manifest: dict[str, Any]
    folder: Path

    def get(self, site: str, kind: str = "batch_topk", seed: int = 0) -> Dictionary:
        """One dictionary. Refuses one that params.yaml does not train, naming those that it does."""
        if (site, kind, seed) not in self.dictionaries:
            known = ", ".join("/".join(map(str, key)) for key in self.dictionaries)
            raise Refusal(f"no dictionary {site}/{kind}/{seed} is trained: params.yaml, section sae, has {known}")
        return self.dictionaries[site, kind, seed]


def trained(
    loaded: Loaded, *, profile: str, twin_seed: int | None = None, text: Text | None = None, fresh: bool = False,
    report: BlocksDone | None = None, params: Mapping[str, Any] | None = None,
) -> Trained:  # fmt: skip
    """The dictionaries of a model, trained or loaded. `twin_seed` says that `loaded` has random weights of that seed.

    `fresh` trains also where they are in the cache (what is in reports/ never comes from an earlier run).
    """
    params = params or room_params("sae", profile)
    text = text or read_text(loaded, params)
    plans = plan(loaded, params)
    sites = {each.site.name: each.site for each in plans}
    check_budget(plans, {site: site.width(loaded.hf_model) for site in sites.values()}, params["memory_gb"])
    identity = _identity(loaded, params, plans, text, twin_seed)
    owner = f"{loaded.entry.id}-{profile}-{'trained' if twin_seed is None else 'random'}"
    folder, cache = place(owner, identity), store.cache_root()
    with store.writing(cache), store.locked(cache, folder.name, f"the dictionaries of {owner}"):
        if fresh or not is_whole(folder):
            training = _train(loaded, params, plans, text, folder, identity, report)
            with store.workspace(cache) as work:
                _write(training, loaded.entry.id, twin_seed, identity, work / "dictionaries")
                _put(cache, work / "dictionaries", folder)
        return _read(folder, sites)


def read_text(loaded: Loaded, params: Mapping[str, Any]) -> Text:
    """The corpus as this model's tokens. Refuses a corpus that holds no window."""
    texts = corpus.documents(params["characters"], tuple(params["shares"]))

    def encode(parts: Any) -> list[list[int]]:
        return load.encode_bare(loaded, parts)

    width = params["window"] + 1  # the first position is left out
    windows, held_out = (
        corpus.cut(texts, encode, width=width, first=loaded.bos_id, held_out=held) for held in (False, True)
    )
    n = -(-params["tokens"] // params["window"])
    orders = (corpus.order(windows, params["shares"], n, params["seed"]),
              corpus.order(held_out, params["shares"], params["test_windows"], params["seed"],
                           again=False))  # fmt: skip
    return Text(windows, orders[0], held_out, orders[1], corpus.digest(texts))


def layer_of(loaded: Loaded, params: Mapping[str, Any]) -> int:
    """The layer whose input is taken."""
    return max(1, round(params["depth"] * loaded.entry.n_layers))


def plan(loaded: Loaded, params: Mapping[str, Any]) -> list[BankPlan]:
    """Banks of params.yaml: the residual stream that enters a layer, and the neurons of the MLP just below."""
    layer = layer_of(loaded, params)
    plans = []
    for name, bank in params["banks"].items():
        site = Site(name, layer if name == "resid_pre" else layer - 1)
        h = int(bank["width"] * site.width(loaded.hf_model))
        for kind in bank["kinds"]:
            l1 = l1_of(loaded.entry.id, name, params) if kind == "standard" else None
            plans.append(BankPlan(site, _recipe(kind, h, tuple(bank["seeds"]), l1, params)))
    return plans


def l1_of(model: str, site: str, params: Mapping[str, Any]) -> float:
    """The L1 coefficient of a model's hook point. Refuses a model without one: another model's would not fit it."""
    try:
        return params["l1"][model][site]
    except KeyError:
        known = ", ".join(f"{at[site]:g} of {name}" for name, at in params["l1"].items() if site in at)
        raise Refusal(f"params.yaml, section sae, has no l1 for {model} at {site}, and what fits differs between "
                      f"models ({known}): try some, and enter the one that leaves about {params['k']} features active "
                      "(L0 in scores.csv)") from None  # fmt: skip


def _recipe(kind: Kind, h: int, seeds: tuple[int, ...], l1: float | None, params: Mapping[str, Any]) -> BankRecipe:
    steps = params["tokens"] // params["batch"]
    return BankRecipe(
        kind, h, steps, seeds, k=params["k"], l1=() if l1 is None else (l1,) * len(seeds), lr=params["lr"],
        warmup=int(WARMUP * steps), dead_after=params["dead_after"],
        resample_at=() if l1 is None else tuple(int(steps * share) for share in RESAMPLED_AT),
    )  # fmt: skip


def place(owner: str, identity: Mapping[str, Any]) -> Path:
    """Folder of the dictionaries with this identity; `owner` is model, profile and weights."""
    return store.cache_root() / "dictionaries" / f"{owner}@{_digest(identity)[:16]}"


def is_whole(folder: Path) -> bool:
    """Whether every file that the manifest lists is there with its bytes."""
    try:
        held = files.read_json(folder / MANIFEST)["files"]
        return bool(held) and all(files.sha256(folder / name) == sha256 for name, sha256 in held.items())
    except (OSError, Refusal, KeyError, AttributeError):
        return False


def _digest(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _identity(
    loaded: Loaded, params: Mapping[str, Any], plans: list[BankPlan], text: Text, twin_seed: int | None
) -> dict[str, Any]:
    """Everything that the numbers depend on."""
    used = ("tokens", "window", "windows_per_block", "batch", "seed", "shares", "characters")
    return {
        "weights": load.manifest(loaded.entry)["safetensors"], "twin_seed": twin_seed, "corpus": text.digest,
        "plans": [str(each) for each in plans], "params": {name: params[name] for name in used},
        "code": imports.digest(__name__), "device": next(loaded.hf_model.parameters()).device.type,
        "versions": versions() | {"numba": version("numba")},
    }  # fmt: skip


def _train(
    loaded: Loaded, params: Mapping[str, Any], plans: list[BankPlan], text: Text, folder: Path,
    identity: Mapping[str, Any], report: BlocksDone | None,
) -> Training:  # fmt: skip
    sites = tuple(dict.fromkeys(each.site for each in plans))
    stream = Stream(loaded.hf_model, text.training(), sites, params["windows_per_block"], params["seed"])
    checkpoints = Checkpoints(folder.with_name(f"{folder.name}.training"), _digest(identity))
    return train(stream, plans, batch=params["batch"], checkpoints=checkpoints, every=params["checkpoint_every"],
                 report=report)  # fmt: skip


def _write(training: Training, model: str, twin_seed: int | None, identity: Mapping[str, Any], building: Path) -> None:
    """All dictionaries and the manifest, into a new folder."""
    statistics = {}
    for plan_, bank, losses in zip(training.plans, training.banks, training.losses, strict=True):
        for member, seed in enumerate(plan_.recipe.seeds):
            key = _name((plan_.site.name, plan_.recipe.kind, seed))
            statistics[f"{key}/since_fired"] = bank.since_fired[member]
            statistics[f"{key}/losses"] = torch.stack(losses)[:, member]
    for (site, kind, seed), one in training.dictionaries().items():
        weights = "trained" if twin_seed is None else f"random, seed {twin_seed}"
        one.info.update({"model_name": model, "hook_name": site.hook_name, "model_weights": weights,
                         "input_scale": training.scales[site]})  # fmt: skip
        saelens.write(one, building / _name((site.name, kind, seed)))
    files.write_bytes(building / STATISTICS, save({name: t.cpu().contiguous() for name, t in statistics.items()}))
    held = {str(p.relative_to(building)): files.sha256(p) for p in sorted(building.rglob("*")) if p.is_file()}
    scales = {str(site): scale for site, scale in training.scales.items()}
    files.write_json(building / MANIFEST, {"identity": identity, "files": held, "input_scales": scales})


def _put(cache: Path, building: Path, folder: Path) -> None:
    """Rename the finished folder into place; then the checkpoint goes, and folders that no process works on any more.

    They are of an earlier state of the code or the params, which nothing can use.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    building.rename(folder)
    if not is_whole(folder):
        raise Refusal(f"{folder} changed while it was made: another program writes to the cache")
    own = folder.with_name(f"{folder.name}.training")
    shutil.rmtree(own, ignore_errors=True)
    for other in folder.parent.glob(f"{folder.name.partition('@')[0]}@*"):
        if other != folder:
            with store.unless_locked(cache, other.name.removesuffix(".training")) as free:
                if free:
                    shutil.rmtree(other, ignore_errors=True)


def _read(folder: Path, sites: dict[str, Site]) -> Trained:
    manifest = files.read_json(folder / MANIFEST)
    names = sorted({name.partition("/")[0] for name in manifest["files"] if "/" in name})
    loose = load_file(folder / STATISTICS)
    statistics = {_key(name): {part: loose[f"{name}/{part}"] for part in ("since_fired", "losses")} for name in names}
    held = {_key(name): saelens.read(folder / name) for name in names}
    return Trained(held, statistics, sites, manifest, folder)


def _name(key: DictionaryKey) -> str:
    return f"{key[0]}.{key[1]}.{key[2]}"


def _key(name: str) -> DictionaryKey:
    site, kind, seed = name.split(".")
    return site, kind, int(seed)
