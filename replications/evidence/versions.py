"""Versions of what every number depends on: the libraries, and the project's own modules."""

import hashlib
from importlib.metadata import version
from pathlib import Path

from replications import files

PACKAGES = ("torch", "transformers", "transformer_lens", "numpy")
CODE = Path(__file__).resolve().parents[1]


def versions() -> dict[str, str]:
    """Of each library by name."""
    return {name: version(name) for name in PACKAGES}


def code() -> str:
    """Digest of the project's modules."""
    digest = hashlib.sha256()
    for file in sorted(CODE.rglob("*.py")):
        digest.update(f"{file.relative_to(CODE)}\0{files.sha256(file)}\n".encode())
    return digest.hexdigest()
