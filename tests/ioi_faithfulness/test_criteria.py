"""The criteria find what was planted, and say of the extremes what their definitions say."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from replications.ioi_faithfulness import circuits, criteria
from replications.ioi_faithfulness.circuits import Circuit
from replications.ioi_faithfulness.criteria import Trial

ROWS = [0, 2, 4, 6]


class Planted:
    """Heads with weights on the last column of nothing: F(C without K) and F(M without K) are sums over heads."""

    def __init__(self, inside, whole):
        self.circuit, self.inside, self.whole = Circuit({"name_mover": tuple(inside)}), inside, whole

    def without(self, sets, rows=range(4)):
        return self._sums(self.inside, sets, rows)

    def model_without(self, sets, rows=range(4)):
        return self._sums(self.whole, sets, rows)

    incompleteness = Trial.incompleteness

    def _sums(self, weights, sets, rows):
        values = [sum(w for head, w in weights.items() if head not in set(some)) for some in sets]
        return np.repeat(np.array(values, dtype=float)[:, None], len(rows), axis=1)


def test_taking_nothing_out_and_everything_out(helpers):
    at = helpers.setting()
    tested = criteria.put_to_test(at.bench, at.circuit)
    nothing, everything = tested.without([[], at.circuit.heads])
    np.testing.assert_allclose(nothing, at.bench.read(tested.base), atol=1e-5)
    np.testing.assert_allclose(everything, at.bench.read(at.bench.only([])), atol=1e-5)
    np.testing.assert_allclose(tested.model_without([[]])[0], at.bench.read(at.bench.model), atol=1e-6)
    assert tested.incompleteness([[]], ROWS) == pytest.approx(
        abs(nothing[ROWS].mean() - at.bench.read(at.bench.model)[ROWS].mean()), abs=1e-5
    )


def test_sets_are_sets(helpers):
    at = helpers.setting()
    tested = criteria.put_to_test(at.bench, at.circuit)
    heads = at.circuit.heads[:3]
    nodes = at.circuit.nodes_of(heads), at.circuit.nodes_of(heads[::-1])
    assert torch.equal(*(at.bench.mask(some) for some in nodes))
    one, other = tested.without([heads, heads[::-1]])
    np.testing.assert_allclose(one, other, atol=1e-5)  # logits; a kernel may sum the rows of a batch in different ways


def test_random_circuits_are_reproducible_and_differ(helpers):
    at = helpers.setting()
    tested = criteria.put_to_test(at.bench, at.circuit)
    first, again, other = (criteria.random_circuits(tested, 5, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (5, 8)
    assert not np.allclose(first, other)


def test_random_sets_are_about_half_of_the_circuit():
    sets = criteria.random_sets(circuits.published(), 200, 3)
    assert sets == criteria.random_sets(circuits.published(), 200, 3)
    assert 12 < np.mean([len(some) for some in sets]) < 14


def test_greedy_search_finds_the_planted_set():
    """Two heads count in the circuit and not in the model, one the other way round: out with the two."""
    inside = {(0, 0): 1.0, (0, 1): 1.0, (0, 2): 0.1, (0, 3): 0.0}
    whole = {(0, 0): 0.0, (0, 1): 0.0, (0, 2): 0.1, (0, 3): 0.5}
    planted = Planted(inside, whole)
    found = criteria.greedy_set(planted, steps=6, candidates=4, rows=ROWS, seed=0)
    assert planted.incompleteness([found], ROWS)[0] == max(
        planted.incompleteness([some], ROWS)[0] for some in ([], [(0, 3)], [(0, 0), (0, 1)], list(inside))
    )


def test_greedy_search_does_not_take_what_does_not_help():
    weights = {(0, head): 1.0 for head in range(4)}
    assert criteria.greedy_set(Planted(weights, weights), steps=3, candidates=2, rows=ROWS, seed=0) == []


def test_every_head_is_tested_with_the_rest_of_its_class():
    circuit = Circuit({"name_mover": ((2, 0), (2, 1)), "induction": ((1, 0),), "backup_name_mover": ((2, 2), (2, 3))})
    assert criteria.minimality_set(circuit, (2, 0)) == ((2, 1),)
    assert criteria.minimality_set(circuit, (1, 0)) == ()
    assert criteria.minimality_set(circuit, (2, 2)) == ((2, 0), (2, 1), (2, 3))


def test_the_published_sets_chain_up():
    """Where one printed pair ends the next begins: the sets differ by that one head."""
    circuit, of = circuits.published(), criteria.minimality_set
    chain = [(9, 9), (10, 0), (9, 6), *criteria.BACKUP_CHAIN]
    for before, head in pairwise(chain):
        assert set(of(circuit, head)) == {*of(circuit, before), before}
    last = {*circuits.PUBLISHED["name_mover"], *circuits.PUBLISHED["backup_name_mover"]}
    assert set(of(circuit, (9, 0))) == last - {(9, 0)}
    assert set(of(circuit, (11, 10))) == {(10, 7)}
    assert set(of(circuit, (5, 8))) == {(10, 7), (11, 10)}
    assert set(of(circuit, (3, 0))) == {(0, 1), (0, 10)}


def test_minimality_is_the_difference_that_one_head_makes(helpers):
    at = helpers.setting()
    tested = criteria.put_to_test(at.bench, at.circuit)
    gone, there = criteria.minimality(tested)
    assert gone.shape == there.shape == (len(at.circuit.heads), 8)
    i = at.circuit.heads.index((2, 0))
    expected = tested.without([[(2, 1), (2, 0)], [(2, 1)]])
    np.testing.assert_allclose([gone[i], there[i]], expected, atol=1e-5)  # logits; that batch holds more sets
