"""Wang et al.'s three criteria for a circuit C of a model M, and the circuits they are compared with.

Faithfulness (section 4): F(C) is near F(M). Completeness (4.1): for every K in C, F(C without K) is near
F(M without K). Minimality (4.2): for every head v there is a K such that F(C without K and v) is far from
F(C without K). F is a mean over prompts; here it stays an array over them, so that everything can be resampled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from replications.causal.ablate import Base
from replications.evidence.stats import Array
from replications.ioi_faithfulness.circuits import PUBLISHED, Circuit, Head, random_circuit
from replications.ioi_faithfulness.knockouts import Bench

# Appendix K lists a K for every head; these are the sets by which the values printed in figure 20 chain up: the name
# movers one after the other, then the backups; every other head with the rest of its class.
NAME_MOVERS = PUBLISHED["name_mover"]
BACKUP_CHAIN: tuple[Head, ...] = ((10, 10), (10, 6), (10, 2), (10, 1), (11, 2), (9, 7))
PUBLISHED_SETS: dict[Head, tuple[Head, ...]] = {
    (10, 0): NAME_MOVERS[:1], (9, 6): NAME_MOVERS[:2], (9, 9): (),
    (5, 5): ((6, 9),), (6, 9): ((5, 5),),
    (5, 8): PUBLISHED["negative_name_mover"], (5, 9): PUBLISHED["negative_name_mover"],
    **{head: (*NAME_MOVERS, *BACKUP_CHAIN[:i]) for i, head in enumerate(BACKUP_CHAIN)},
}  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """A circuit on a bench: `base` is its recorded run."""

    bench: Bench
    circuit: Circuit
    base: Base

    def without(self, sets: Sequence[Iterable[Head]], rows: Sequence[int] | None = None) -> Array:
        """Logit differences of the circuit without each set of its heads, [set, n]."""
        kept = (set(self.circuit.heads).difference(some) for some in sets)
        tables = (~self.bench.mask(self.circuit.nodes_of(heads)) for heads in kept)
        return self.bench.logit_diffs(tables, base=self.base, rows=rows)

    def model_without(self, sets: Sequence[Iterable[Head]], rows: Sequence[int] | None = None) -> Array:
        """Logit differences of the whole model without each set, knocked out where its heads act, [set, n]."""
        tables = (self.bench.mask(self.circuit.nodes_of(some)) for some in sets)
        return self.bench.logit_diffs(tables, rows=rows)

    def incompleteness(self, sets: Sequence[Iterable[Head]], rows: Sequence[int]) -> Array:
        """|F(C without K) - F(M without K)| of each set, over these rows."""
        return np.abs(self.without(sets, rows).mean(1) - self.model_without(sets, rows).mean(1))


def put_to_test(bench: Bench, circuit: Circuit) -> Trial:
    """The circuit with its base run."""
    return Trial(bench, circuit, bench.only(circuit.nodes))


def random_circuits(tested: Trial, count: int, seed: int) -> Array:
    """Logit differences [circuit, n] of random circuits with as many heads in each layer at the same positions."""
    rng, n_heads = np.random.default_rng(seed), tested.bench.stack.n_heads
    drawn = [random_circuit(tested.circuit.nodes, n_heads, rng) for _ in range(count)]
    return tested.bench.logit_diffs((~tested.bench.mask(nodes) for nodes in drawn), base=tested.base)


def random_sets(circuit: Circuit, count: int, seed: int) -> list[list[Head]]:
    """Subsets of the circuit in which every head is with probability one half."""
    rng = np.random.default_rng(seed)
    return [[head for head in circuit.heads if rng.random() < 0.5] for _ in range(count)]


def greedy_set(tested: Trial, *, steps: int, candidates: int, rows: Sequence[int], seed: int) -> list[Head]:
    """A set K that makes the circuit look incomplete (section 4.1), grown head by head.

    Each step tries some random heads and keeps the one that raises the incompleteness most; a step in which none
    raises it leaves K as it is. Only `rows` are looked at, so that the others can say how incomplete it really is.
    """
    rng, chosen = np.random.default_rng(seed), list[Head]()
    best = tested.incompleteness([chosen], rows)[0]
    for _ in range(steps):
        rest = [head for head in tested.circuit.heads if head not in chosen]
        if not rest:
            break
        tried = [rest[i] for i in rng.choice(len(rest), size=min(candidates, len(rest)), replace=False)]
        scores = tested.incompleteness([[*chosen, head] for head in tried], rows)
        if scores.max() > best:
            best, chosen = scores.max(), [*chosen, tried[int(scores.argmax())]]
    return chosen


def minimality_set(circuit: Circuit, head: Head) -> tuple[Head, ...]:
    """The K that a head is tested with: the rest of its class, and for a backup the name movers that it stands in for.

    For the published circuit the paper's own sets.
    """
    if circuit.classes == PUBLISHED and head in PUBLISHED_SETS:
        return PUBLISHED_SETS[head]
    name = circuit.class_of(head)
    instead_of = circuit.classes.get("name_mover", ()) if name == "backup_name_mover" else ()
    return tuple(other for other in dict.fromkeys((*instead_of, *circuit.classes[name])) if other != head)


def minimality(tested: Trial) -> tuple[Array, Array]:
    """Logit differences [head, n] of the circuit without K and v, and without K, for every head v of the circuit."""
    pairs = [(minimality_set(tested.circuit, head), head) for head in tested.circuit.heads]
    wanted = [frozenset(some) for others, head in pairs for some in ((*others, head), others)]
    sets = list(dict.fromkeys(wanted))
    found = dict(zip(sets, tested.without(sets), strict=True))
    both, others = (np.stack([found[some] for some in wanted[part::2]]) for part in (0, 1))
    return both, others
