"""Shards of a test: kept nowhere, or through a function of the test's own."""

from dataclasses import dataclass
from typing import Any


def _made(name, make):
    return make()


@dataclass(frozen=True)
class Kept:
    """Stands for `shards.Keep`; every shard, named in full, goes through `keep(name, make)`."""

    keep: Any = _made
    prefix: str = ""

    def __call__(self, name, make):
        return self.keep(f"{self.prefix}{name}", make)

    def each(self, makers, doing, over=map):
        found = {}

        def take(name):
            found[name] = self(name, makers[name])

        for _ in over(take, list(makers)):
            pass
        return [found[name] for name in makers]

    def under(self, prefix):
        return Kept(self.keep, f"{self.prefix}{prefix}/")

    def complete(self):
        """Everything is made."""
