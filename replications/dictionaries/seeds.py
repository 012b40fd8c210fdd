"""Random draws that depend on what they are for and on nothing else, so that a resumed run makes the same ones."""

from __future__ import annotations

import hashlib

import torch


def generator(*purpose: str | int) -> torch.Generator:
    """A generator on the CPU, seeded by the purpose: the same words and numbers give the same draws."""
    digest = hashlib.sha256("\0".join(map(str, purpose)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
