"""Noise against replacement, windows against their layers, from pairs that we planted."""

import numpy as np
import pytest
from rome_tracing.planted import LAYERS, N, corrupted_pair, sample, value

from replications.rome_tracing import corruption_effects


def test_two_corruptions():
    found = corruption_effects.quantities(sample([corrupted_pair(i) for i in range(N)]), LAYERS)
    assert value(found, "clean.logit_diff") == pytest.approx(4.01)
    assert value(found, "noise.p.total_effect") == pytest.approx(0.51)
    for metric, ratio in (("p", 4), ("logit_diff", 2)):
        for width in ("w3", "w5", "w10"):
            assert value(found, f"noise_over_replacement.{metric}.{width}") == pytest.approx(3)
            assert value(found, f"replacement.{metric}.{width}.layer") == 4
            assert value(found, f"replacement.{metric}.{width}.joint_over_sum") == pytest.approx(2)
            assert value(found, f"noise.{metric}.{width}.last_over_middle") == pytest.approx(ratio)
    assert value(found, "replacement.p.w5.excess") == pytest.approx(0.06)


def test_pairs_without_a_middle_have_no_ratio():
    rows = [corrupted_pair(i) for i in range(N)]
    for row in rows[4:]:
        for name in ("noise", "replacement"):
            for width in (3, 5, 10):
                row[f"{name}.w{width}"][:, 1] = np.nan
    found = corruption_effects.quantities(sample(rows), LAYERS)
    assert "last_over_middle" not in found["noise"]["p"]["w5"]
    assert value(found, "noise.p.w5.aie") == pytest.approx(0.36)
