"""Curves and per-fact effects as rows."""

import pytest
from rome_tracing.planted import LAYERS, N, corrupted_pair, sample

from replications.rome_tracing import tables


def test_tables_hold_every_curve():
    made = sample()
    curves = tables.aie(made, LAYERS)
    assert len(curves) == 3 * 6 * 6
    peak = curves[(curves["kind"] == "mlp") & (curves["token"] == "subject_last") & (curves["layer"] == 4)].iloc[0]
    assert peak["effect"] == pytest.approx(0.3)
    assert peak["ci_low"] < 0.3 < peak["ci_high"]
    assert set(tables.severed(made, LAYERS)["severed"]) == {"intact", "mlp", "attn"}
    facts = tables.facts([f"fact{i}" for i in range(N)], made, LAYERS)
    assert len(facts) == N * 3 * 6
    one = facts[(facts["fact"] == "fact0") & (facts["kind"] == "mlp") & (facts["layer"] == 4)].iloc[0]
    assert (one["effect"], one["total_effect"]) == (pytest.approx(0.29), pytest.approx(0.49))
    pairs = tables.corruptions(sample([corrupted_pair(i) for i in range(N)]), LAYERS)
    assert len(pairs) == 2 * 2 * 3 * 6
