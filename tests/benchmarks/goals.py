"""What every benchmark is held against, with the reason: stated before it is measured, and not moved after."""

from dataclasses import dataclass

MAPS, TRACE = "IOI: residual and head maps of one pair", "ROME: causal trace of one fact"
PROBES, SERIES = "linear probes: 7 layers", "linear probes: 7 layers, 5 seeds, with a control task"
WORDS = "edge probing: 13 depths, a label per word"
SPANS = "edge probing: 13 depths, a label per sentence, two spans"
SWEEP = "toy SAE: a sweep of 34 autoencoders"
SIDE_BY_SIDE = "four stages, from scratch, on two cores"
FLOOR = "floor"


@dataclass(frozen=True)
class Goal:
    """At least so many times faster than a peer, at most so many times the floor."""

    wanted: float
    reason: str


_CELLS = "the maps need 1/34 of the operations of 720 forward passes, in products of hundreds of rows instead of 15"
_DEPTHS = "all depths share the states, the mini-batches and the calls, and only words of spans are projected"
_SHARED = "every layer of a series shares the words and the calls of the others"
_DENSE = "the peers train one after another, so that no call serves two, and their codes are dense"

# By benchmark, threads, and what it is compared with. A benchmark without a goal would not be missed.
GOALS = {
    (MAPS, 2, "transformer_lens.patching"): Goal(100, _CELLS),
    (MAPS, 1, "transformer_lens.patching"): Goal(95, f"{_CELLS}; on one thread the loop loses less by small products"),
    (MAPS, 2, FLOOR): Goal(2, "what is no product should not take longer than the products"),
    (MAPS, 1, FLOOR): Goal(2, "what is no product should not take longer than the products"),
    (TRACE, 1, FLOOR): Goal(1.25, "thousands of rows a product: all else should take a quarter of their time at most"),
    (TRACE, 2, FLOOR): Goal(1.5, "what is no product gains less by a second thread than the products do"),
    (PROBES, 1, "scikit-learn"): Goal(2, _SHARED),
    (SERIES, 1, "scikit-learn"): Goal(5, f"{_SHARED}, and so do seeds and tasks"),
    (WORDS, 1, "depths one by one, textbook"): Goal(4, _DEPTHS),
    (SPANS, 1, "depths one by one, textbook"): Goal(4, _DEPTHS),
    (SWEEP, 1, "dictionary_learning"): Goal(3, _DENSE),
    (SWEEP, 1, "sae_lens"): Goal(3, _DENSE),
    (SIDE_BY_SIDE, 2, "dvc repro"): Goal(1.7, "two cores for one, less what the longest stage leaves idle at the end"),
    (SWEEP, 1, FLOOR): Goal(1, "the floor counts dense products, and most codes are zero"),
}
EXPECTED = frozenset((what, threads) for what, threads, _ in GOALS)


def missing(rows):
    """Benchmarks that were not timed: what, threads. Peers that a machine may lack are not missed."""
    return sorted(EXPECTED - {(row["what"], row["threads"]) for row in rows})
