"""Circuits: which heads, of which class, at which position; the published one, a found one, and random ones.

A node is a head at a role position. Classes act where Wang et al. 2022, section 3, has them act: what writes the answer
at END, what says who is repeated at S2, previous-token heads at the token after S1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from replications.errors import Refusal
from replications.files import read_table

Head = tuple[int, int]  # layer, head
Node = tuple[int, int, str]  # layer, head, role position

ROLES = ("IO", "S1", "S1+1", "S2", "END")
POSITION = {
    "name_mover": "END",
    "negative_name_mover": "END",
    "s_inhibition": "END",
    "induction": "S2",
    "duplicate_token": "S2",
    "previous_token": "S1+1",
    "backup_name_mover": "END",
}
NAIVE_LEAVES_OUT = ("negative_name_mover", "backup_name_mover")

# Wang et al. 2022, figure 2 and section 3: 26 heads of gpt2.
PUBLISHED: Mapping[str, tuple[Head, ...]] = {
    "name_mover": ((9, 9), (10, 0), (9, 6)),
    "negative_name_mover": ((10, 7), (11, 10)),
    "s_inhibition": ((7, 3), (7, 9), (8, 6), (8, 10)),
    "induction": ((5, 5), (6, 9), (5, 8), (5, 9)),
    "duplicate_token": ((0, 1), (3, 0), (0, 10)),
    "previous_token": ((2, 2), (4, 11)),
    "backup_name_mover": ((9, 0), (9, 7), (10, 1), (10, 2), (10, 6), (10, 10), (11, 2), (11, 9)),
}
PUBLISHED_MODEL = "gpt2"
# Section 4.3: name movers, S-inhibition and two heads of each class below; 5.8, 5.9 and 0.10 are the weaker members.
PUBLISHED_NAIVE: Mapping[str, tuple[Head, ...]] = {
    "name_mover": PUBLISHED["name_mover"],
    "s_inhibition": PUBLISHED["s_inhibition"],
    "induction": ((5, 5), (6, 9)),
    "duplicate_token": ((0, 1), (3, 0)),
    "previous_token": PUBLISHED["previous_token"],
}


@dataclass(frozen=True)
class Circuit:
    """Heads by class. A head of two classes acts at the positions of both."""

    classes: Mapping[str, tuple[Head, ...]]

    @property
    def heads(self) -> list[Head]:
        """All heads once, in order of layers."""
        return sorted({head for heads in self.classes.values() for head in heads})

    @property
    def nodes(self) -> list[Node]:
        """All (head, position) pairs once."""
        return self.nodes_of(self.heads)

    def nodes_of(self, heads: Iterable[Head]) -> list[Node]:
        """The positions at which these heads act in this circuit."""
        wanted = set(heads)
        pairs = {(head, POSITION[name]) for name, members in self.classes.items() for head in members if head in wanted}
        return sorted((layer, head, role) for (layer, head), role in pairs)

    def class_of(self, head: Head) -> str:
        """The first class that lists the head."""
        return next(name for name, heads in self.classes.items() if head in heads)

    def without(self, names: Iterable[str]) -> Circuit:
        """The circuit without whole classes."""
        left_out = set(names)
        return Circuit({name: heads for name, heads in self.classes.items() if name not in left_out})


def published() -> Circuit:
    """The 26 heads of gpt2."""
    return Circuit(PUBLISHED)


def naive(circuit: Circuit) -> Circuit:
    """The circuit without negative and backup name movers; of the published one, the paper's own choice."""
    return Circuit(PUBLISHED_NAIVE) if circuit.classes == PUBLISHED else circuit.without(NAIVE_LEAVES_OUT)


def read_circuit(file: Path, *, n_layers: int, n_heads: int, made_by: str) -> Circuit:
    """The found circuit from classes.csv (layer, head, class; one row per membership); it may be empty.

    Refuses a missing file, naming the command `made_by` that writes it, and rows that the model cannot have.
    """
    if not file.is_file():
        raise Refusal(f"{file} is missing: it holds the circuit to test; run `{made_by}` first")
    try:
        table = read_table(file, ["class", "head", "layer"], dtype={"head": int, "layer": int})
    except Refusal as refusal:
        raise Refusal(f"{refusal}: run `{made_by}` again") from None
    for number, row in enumerate(table.itertuples(index=False), start=2):
        name = row[table.columns.get_loc("class")]
        if name not in POSITION:
            raise Refusal(f"{file}, line {number}: unknown class {name!r}; known: {', '.join(POSITION)}")
        if not (0 <= row.layer < n_layers and 0 <= row.head < n_heads):
            raise Refusal(
                f"{file}, line {number}: head {row.layer}.{row.head} is outside a model of {n_layers} layers "
                f"with {n_heads} heads"
            )
    members = {name: part[["layer", "head"]].itertuples(index=False) for name, part in table.groupby("class")}
    return Circuit({
        name: tuple(dict.fromkeys((int(layer), int(head)) for layer, head in members[name]))
        for name in POSITION if name in members
    })  # fmt: skip


def random_circuit(nodes: Iterable[Node], n_heads: int, rng: np.random.Generator) -> list[Node]:
    """As many heads in each layer, at the same positions, drawn from all heads of the layer."""
    by_layer: dict[int, dict[int, list[str]]] = {}
    for layer, head, role in nodes:
        by_layer.setdefault(layer, {}).setdefault(head, []).append(role)
    drawn = []
    for layer, heads in sorted(by_layer.items()):
        others = rng.choice(n_heads, size=len(heads), replace=False)
        drawn += [(layer, int(new), role) for new, old in zip(others, heads, strict=True) for role in heads[old]]
    return sorted(drawn)


def label(head: Head) -> str:
    """As in a path of metrics.json: L9H9."""
    return f"L{head[0]}H{head[1]}"
