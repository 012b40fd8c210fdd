"""Versions of the libraries that every number depends on."""

from importlib.metadata import version

PACKAGES = ("torch", "transformers", "transformer_lens", "numpy")


def versions() -> dict[str, str]:
    """Of each library by name."""
    return {name: version(name) for name in PACKAGES}
