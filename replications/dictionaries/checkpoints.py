"""Where a training stands, on disk: written whole or not at all, and checked before anything goes on from it.

`latest.json` names the file of tensors, its SHA-256, the block to go on with and whose training it is. A file of
tensors is deleted only after the pointer has moved on: a kill at any moment leaves a checkpoint that can be used.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor

from replications import files
from replications.errors import Refusal

POINTER = "latest.json"


@dataclass(frozen=True)
class Checkpoints:
    """One training's folder; `identity` is a digest of everything that its numbers depend on."""

    folder: Path
    identity: str

    def write(self, block: int, tensors: Mapping[str, Tensor]) -> None:
        """Record that `block` comes next, with these tensors."""
        name = f"block-{block}.safetensors"
        path = files.write_bytes(self.folder / name, save({k: t.cpu().contiguous() for k, t in tensors.items()}))
        pointer = {"file": name, "sha256": files.sha256(path), "block": block, "identity": self.identity}
        files.write_json(self.folder / POINTER, pointer)
        for old in self.folder.glob("block-*.safetensors"):
            if old != path:
                old.unlink(missing_ok=True)

    def read(self) -> tuple[int, dict[str, Tensor]] | None:
        """Block to go on with, and the tensors; None when there is no checkpoint of this training.

        Refuses a checkpoint whose bytes are not those that were written.
        """
        if not (self.folder / POINTER).is_file():
            return None
        try:
            pointer = files.read_json(self.folder / POINTER)
            named, path = pointer["identity"], self.folder / pointer["file"]
            if named != self.identity:
                return None
            whole = path.is_file() and files.sha256(path) == pointer["sha256"]
            block = int(pointer["block"])
        except (Refusal, KeyError, TypeError, ValueError):
            raise Refusal(self._corrupt(POINTER)) from None
        if not whole:
            raise Refusal(self._corrupt(pointer["file"]))
        return block, load(path.read_bytes())

    def clear(self) -> None:
        """Take the folder away: the training has ended."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _corrupt(self, name: str) -> str:
        return f"{self.folder / name} is not the checkpoint that was written: delete {self.folder} to start over"
